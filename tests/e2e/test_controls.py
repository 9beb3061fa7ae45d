"""The bar below the call, its menus, the keys, the settings, and what is said aloud: one call walks through it."""

from __future__ import annotations

import pytest

from tests.e2e.axe import nothing_serious
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.devices import HEADSET_HZ, device, hears, with_devices
from tests.e2e.page import PAGE, PHONE, both_themes, picture

pytestmark = [pytest.mark.browser, pytest.mark.alone]
CALL = "document.querySelector('turnd-call').call"
STATE = f"{CALL}.store.state"
# What the page asks of the browser, noted on the way there.
NOTED = """globalThis.noted = {locks: 0, tones: []};
const lock = WakeLock.prototype.request;
WakeLock.prototype.request = function (...kind) { noted.locks += 1; return lock.apply(this, kind); };
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...at) {
  noted.tones.push(this.frequency.value);
  return start.apply(this, at);
};"""


async def holds(person: Person, expression: str, seconds: float = 5) -> None:
    """Awaits that this is true in the person's page."""
    await until(f"{person.name}: {expression}", lambda: person.browser.evaluate(expression), seconds)


async def press(person: Person, *keys: str) -> None:
    """Presses keys one after the other."""
    for key in keys:
        await person.browser.page.keyboard.press(key)  # type: ignore[attr-defined]


async def hum(person: Person, frequency_hz: float) -> None:
    """Awaits that this tone is heard from the other; 0: nothing."""

    async def probe() -> bool:
        return abs(await hears(person) - frequency_hz) < 30

    await until(f"{person.name} hears {frequency_hz} Hz", probe, 6)


async def keys_and_what_the_other_hears(ada: Person, bob: Person) -> None:
    """Single keys do what buttons do, and the other side is told."""
    said = "document.querySelector('turnd-call > [role=status]').textContent"
    await press(ada, "m")
    await holds(bob, f"!{STATE}.participants[0].microphone")
    await holds(ada, "document.querySelector('[data-banner=muted]:not([hidden])') !== null", 8)
    await picture(ada, "controls-speaking-while-muted")
    await ada.browser.click('[data-action="unmute"]')
    await holds(bob, f"{STATE}.participants[0].microphone")
    await holds(ada, "document.querySelector('[data-banner=muted]:not([hidden])') === null")

    await press(ada, "h")
    await holds(bob, f"{STATE}.participants[0].hand > 0")
    await holds(bob, f"{said} === 'Ada raises a hand.'")
    assert await ada.browser.evaluate("document.querySelector('[data-action=hand]').ariaPressed") == "true"
    await press(ada, "h")
    await holds(bob, f"{STATE}.participants[0].hand === 0")

    await bob.browser.evaluate(
        f"void {CALL}.signalling.on('reaction', ({{reaction}}) => {{ globalThis.seen = reaction; }})"
    )
    await press(ada, "r", "ArrowRight", "Enter")
    await holds(bob, "globalThis.seen === 'love'")
    assert await ada.browser.evaluate("document.activeElement.dataset.action") == "react"


async def typing_is_not_pressing(ada: Person, bob: Person) -> None:
    """What is typed in the chat does nothing else; Escape leaves it; a message that is not seen counts in the title."""
    await press(ada, "c")
    await ada.browser.fill('[data-field="message"]', "")
    await ada.browser.page.keyboard.type("mvh ?")  # type: ignore[attr-defined]
    assert await ada.browser.evaluate(f"[{STATE}.microphone, {STATE}.camera, {STATE}.hand]") == ["on", "on", 0]
    await press(ada, "Escape")
    await holds(ada, f"{STATE}.panel === ''")
    assert await ada.browser.evaluate("document.activeElement.dataset.action") == "chat"
    await press(bob, "c")
    await bob.browser.fill('[data-field="message"]', "Bonjour")
    await bob.browser.click('[data-action="send"]')
    await holds(ada, "document.title.startsWith('(1) ')")


async def settings_are_remembered(ada: Person, bob: Person) -> None:
    """Sound processing, push to talk, keys switched off; the list of keys."""
    await press(ada, "?")
    await nothing_serious(ada.browser, "list of shortcuts")
    await both_themes(ada, "shortcuts")
    await press(ada, "Escape", ",")
    await nothing_serious(ada.browser, "settings")
    await both_themes(ada, "settings")
    for choice in ("noiseSuppression", "pushToTalk", "shortcuts"):
        await ada.browser.click(f'[data-choice="{choice}"]')
    await ada.browser.click('[data-action="test-speaker"]')
    await holds(ada, "noted.tones.includes(523)")
    await press(ada, "Escape")
    # What Chromium does not change on a running microphone takes effect all the same.
    await press(bob, "Escape", ",")
    await bob.browser.click('[data-choice="noiseSuppression"]')
    sound = f"{CALL}.media.track('microphone').getSettings()"
    await holds(bob, f"!{sound}.noiseSuppression && {sound}.echoCancellation && {STATE}.microphone === 'on'")
    await press(bob, "Escape")
    await hum(bob, 0)
    keyboard = ada.browser.page.keyboard  # type: ignore[attr-defined]
    await keyboard.down(" ")
    await hum(bob, HEADSET_HZ)
    await keyboard.up(" ")
    await hum(bob, 0)
    await press(ada, "v")
    assert await ada.browser.evaluate(f"{STATE}.camera") == "on"
    await ada.browser.click('[data-action="more"]')
    await nothing_serious(ada.browser, "menu")
    await both_themes(ada, "more")
    await press(ada, "Escape")
    remembered = await ada.browser.evaluate("JSON.parse(localStorage.turnd)")
    assert (remembered["noiseSuppression"], remembered["pushToTalk"], remembered["shortcuts"]) == (False, True, False)


async def who_may_not_speak_is_told_why(ada: Person, bob: Person, zoe: Person, room: str) -> None:
    """A host mutes and keeps muted: the button says so, and who comes later comes in muted."""
    bobs = f"{STATE}.participants.find(p => p.name === 'Bob').id"
    stage = "JSON.stringify(document.querySelector('.stage-area').getBoundingClientRect())"
    undisturbed = await bob.browser.evaluate(stage)
    await ada.browser.evaluate(f"{CALL}.room.changeRules({{rights: {{unmute: false}}}})")
    await ada.browser.evaluate(f"{CALL}.room.moderate('mute', {bobs})")
    await holds(bob, f"{STATE}.microphone === 'off' && {CALL}.media.track('microphone').enabled === false")
    microphone = "document.querySelector('turnd-controls [data-action=microphone]')"
    await holds(bob, f"{microphone}.ariaDisabled === 'true' && {microphone}.title.includes('Raise your hand to speak')")
    await press(bob, "m")
    await holds(
        bob, "document.querySelector('[data-banner=notice]:not([hidden])')?.textContent.includes('Raise your hand')"
    )
    assert await bob.browser.evaluate(f"{STATE}.microphone") == "off"
    assert await bob.browser.evaluate(stage) == undisturbed
    await picture(bob, "controls-not-allowed")
    await zoe.join(room)
    await holds(zoe, f"{STATE}.phase === 'call' && {STATE}.microphone === 'off'", 10)
    await holds(ada, f"{STATE}.participants.some(p => p.name === 'Zoé' && !p.microphone)")
    await zoe.browser.click('[data-action="more"]')
    await nothing_serious(zoe.browser, "menu on a phone")
    await picture(zoe, "more-phone-fr")
    await zoe.browser.click('[data-action="settings"]')
    await picture(zoe, "settings-phone-fr")


async def test_a_call_by_bar_keys_and_settings(loopback: Daemon, person: PersonFactory) -> None:
    ada, room = await person("Ada", Chromium), f"{PAGE}/r/controls"
    await ada.browser.page.add_init_script(NOTED)  # type: ignore[attr-defined]
    await with_devices(ada)
    bob = Person("Bob", await ada.browser.another(color_scheme="dark"))  # type: ignore[attr-defined]
    zoe = Person("Zoé", await ada.browser.another(locale="fr-FR", **PHONE))  # type: ignore[attr-defined]
    await ada.join(room)
    await holds(ada, f"{STATE}.phase === 'call'", 10)
    await bob.join(room)
    await bob.sees_others(1)
    assert await ada.browser.evaluate("noted.locks") == 1
    await ada.browser.page.mouse.click(2, 2)  # type: ignore[attr-defined]
    await keys_and_what_the_other_hears(ada, bob)
    await typing_is_not_pressing(ada, bob)
    await settings_are_remembered(ada, bob)
    await who_may_not_speak_is_told_why(ada, bob, zoe, room)


async def test_what_was_refused_is_explained_before_the_call(loopback: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium, locale="fr-FR", **PHONE)
    await with_devices(ada)
    await ada.browser.open(f"{PAGE}/r/refused")
    await device(ada, "refuse()")
    await ada.browser.click('[data-action="start-devices"]')
    await holds(ada, "document.querySelectorAll('[data-banner=problem]:not([hidden]) li').length === 3")
    await nothing_serious(ada.browser, "refused")
    await both_themes(ada, "lobby-refused-phone-fr")
    # Allowed in the browser: the page notices.
    await device(ada, "allow()")
    await holds(ada, f"{STATE}.microphone === 'on' && {STATE}.camera === 'on' && {STATE}.problem === null")
    await ada.browser.click('[data-action="settings"]')
    await nothing_serious(ada.browser, "settings on a phone")
    await both_themes(ada, "settings-lobby-phone-fr")
