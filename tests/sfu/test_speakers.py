from sfu.speakers import RELEASE_SECONDS, Speakers

LOUD, ROOM = 20, 90


def run(speakers: Speakers, start: float, seconds: float, **levels: int) -> float:
    now = start
    while now < start + seconds - 1e-9:
        now += 0.1
        speakers.observe(levels, now)
    return now


def test_somebody_who_goes_on_talking_takes_the_floor() -> None:
    speakers = Speakers()
    run(speakers, 0.0, 1.0, ann=LOUD, bob=ROOM)
    assert speakers.current == "ann"


def test_a_cough_does_not_switch() -> None:
    speakers = Speakers()
    now = run(speakers, 0.0, 2.0, ann=LOUD, bob=ROOM)
    now = run(speakers, now, 0.2, ann=30, bob=0)
    run(speakers, now, 2.0, ann=LOUD, bob=ROOM)
    assert speakers.current == "ann"


def test_a_second_voice_takes_over_when_the_first_stops() -> None:
    speakers = Speakers()
    now = run(speakers, 0.0, 2.0, ann=LOUD, bob=ROOM)
    run(speakers, now, 1.5, ann=ROOM, bob=LOUD)
    assert speakers.current == "bob"


def test_equal_voices_do_not_alternate() -> None:
    speakers = Speakers()
    now = run(speakers, 0.0, 1.0, ann=LOUD)
    run(speakers, now, 3.0, ann=LOUD, bob=LOUD - 3)
    assert speakers.current == "ann"


def test_noise_below_speech_never_takes_the_floor() -> None:
    speakers = Speakers()
    run(speakers, 0.0, 5.0, ann=70)
    assert speakers.current is None


def test_the_floor_is_free_after_silence_and_not_before() -> None:
    speakers = Speakers()
    now = run(speakers, 0.0, 1.0, ann=LOUD)
    now = run(speakers, now, RELEASE_SECONDS - 0.5)
    assert speakers.current == "ann"
    run(speakers, now, 2.0)
    assert speakers.current is None


def test_who_leaves_loses_the_floor() -> None:
    speakers = Speakers()
    run(speakers, 0.0, 1.0, ann=LOUD, bob=ROOM)
    assert not speakers.remove("bob")
    assert speakers.remove("ann")
    assert speakers.current is None


def test_observe_says_when_the_speaker_changed() -> None:
    speakers = Speakers()
    changes = [speakers.observe({"ann": LOUD}, n / 10) for n in range(20)]
    assert changes.count(True) == 1
