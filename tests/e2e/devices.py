"""Cameras and microphones that can be pulled out, taken and forbidden: the browser's edge, played by a script.

Each microphone hums a tone of its own, so that the other side can tell which one it hears.
"""

from __future__ import annotations

from tests.e2e.call import Person

HEADSET_HZ, BUILT_IN_HZ = 440, 1200

DEVICES = """(() => {
  const media = navigator.mediaDevices;
  const all = [
    {kind: 'audioinput', deviceId: 'headset', label: 'Headset', hum: 440},
    {kind: 'audioinput', deviceId: 'built-in', label: 'Built-in microphone', hum: 1200},
    {kind: 'videoinput', deviceId: 'webcam', label: 'Webcam'}];
  let refused = false, context;
  const gone = new Set(), taken = new Set(), tracks = [];
  const there = () => all.filter(({deviceId}) => !gone.has(deviceId));
  const failure = (name) => new DOMException(name, name);
  const asked = {microphone: new EventTarget(), camera: new EventTarget()};
  const say = (state) => Object.values(asked).forEach((each) => {
    each.state = state;
    each.dispatchEvent(new Event('change'));
  });
  function hum(frequency) {
    context ??= new AudioContext();
    const out = context.createMediaStreamDestination();
    const oscillator = new OscillatorNode(context, {frequency});
    oscillator.connect(new GainNode(context, {gain: 0.5})).connect(out);
    oscillator.start();
    return out.stream.getAudioTracks()[0];
  }
  function film() {
    const canvas = Object.assign(document.createElement('canvas'), {width: 640, height: 360});
    const brush = canvas.getContext('2d');
    let frame = 0;
    setInterval(() => {
      brush.fillStyle = `hsl(${frame++ * 7 % 360} 60% 50%)`;
      brush.fillRect(0, 0, 640, 360);
    }, 100);
    return canvas.captureStream(10).getVideoTracks()[0];
  }
  function open(kind, wanted) {
    const some = there().filter((each) => each.kind === kind);
    const device = some.find(({deviceId}) => deviceId === wanted.deviceId?.ideal) ?? some[0];
    if (!device) throw failure('NotFoundError');
    if (taken.has(device.deviceId)) throw failure('NotReadableError');
    const track = device.hum ? hum(device.hum) : film();
    const settings = track.getSettings.bind(track);
    track.getSettings = () => ({...settings(), deviceId: device.deviceId});
    Object.defineProperty(track, 'label', {value: device.label});
    tracks.push({track, device: device.deviceId});
    return track;
  }
  media.enumerateDevices = async () => there();
  media.getUserMedia = async ({audio, video}) => {
    if (refused) throw failure('NotAllowedError');
    return new MediaStream([audio && open('audioinput', audio), video && open('videoinput', video)].filter(Boolean));
  };
  const query = navigator.permissions.query.bind(navigator.permissions);
  navigator.permissions.query = async (what) => asked[what.name] ?? query(what);
  const live = ({track}) => track.readyState === 'live';
  const end = (fits) => tracks.filter(live).filter(({device}) => fits(device)).forEach(({track}) => {
    track.stop();
    track.dispatchEvent(new Event('ended'));
  });
  const changed = () => media.dispatchEvent(new Event('devicechange'));
  globalThis.devices = {
    unplug: (id) => { gone.add(id); end((device) => device === id); changed(); },
    plug: (id) => { gone.delete(id); changed(); },
    take: (id) => { taken.add(id); },
    free: (id) => { taken.delete(id); },
    refuse: () => { refused = true; say('denied'); end(() => true); },
    allow: () => { refused = false; say('granted'); },
  };
})()"""

LOUDEST = """(async () => {
  const element = document.querySelector('audio[data-source="microphone"]');
  if (!element?.srcObject) return 0;
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, {fftSize: 4096});
  context.createMediaStreamSource(element.srcObject).connect(analyser);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const bins = new Uint8Array(analyser.frequencyBinCount);
  analyser.getByteFrequencyData(bins);
  await context.close();
  const highest = Math.max(...bins);
  return highest > 60 ? bins.indexOf(highest) * context.sampleRate / 4096 : 0;
})()"""


async def with_devices(person: Person) -> None:
    """From its next page on, this person has these devices and no others."""
    await person.browser.page.add_init_script(DEVICES)  # type: ignore[attr-defined]


async def device(person: Person, act: str) -> None:
    """Does something to them: `unplug('webcam')`, `take('webcam')`, `refuse()`."""
    await person.browser.evaluate(f"devices.{act}")


async def hears(person: Person) -> float:
    """The loudest frequency of the one other, in Hz; 0: silence."""
    return float(await person.browser.evaluate(LOUDEST))
