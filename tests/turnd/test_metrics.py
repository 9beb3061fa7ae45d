import asyncio

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from turnd import __version__
from turnd.metric_names import METRICS
from turnd.metrics import Exposition, LoopLag, MeasureError, build_measures, udp_measures
from wire import udp
from wire.measure import Histogram, Measure

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def exposed(*measures: Measure, accept: str = "") -> str:
    return Exposition([lambda: measures]).render(accept)[0].decode()


@pytest.mark.parametrize(
    "measure",
    [
        Measure("never_declared_total", {}, 1),
        Measure("rooms", {"room": "secret"}, 1),
        Measure("turn_allocations", {"transport": "udp"}, 1),
        Measure("rooms", {}, Histogram((1.0,))),
        Measure("room_seconds", {}, 3),
    ],
)
def test_what_is_not_declared_is_refused_loudly(measure: Measure) -> None:
    with pytest.raises(MeasureError, match=measure.name):
        exposed(measure)


def test_every_declaration_keeps_the_naming_rules() -> None:
    for name, declaration in METRICS.items():
        assert name.endswith("_total") == (declaration.kind == "counter"), name
        assert not name.startswith("turnd_")
        assert declaration.help.endswith(".")
        assert not {"room", "user", "address", "participant", "ip"} & set(declaration.labels), name


def test_values_are_exposed_with_prefix_and_labels() -> None:
    text = exposed(Measure("turn_allocations", {"family": "ipv4", "transport": "udp"}, 3))
    assert 'turnd_turn_allocations{family="ipv4",transport="udp"} 3.0' in text
    assert "# TYPE turnd_turn_allocations gauge" in text


def test_the_same_count_from_two_components_is_added_up() -> None:
    one = Measure("srtp_errors_total", {"reason": "auth"}, 3)
    assert 'turnd_srtp_errors_total{reason="auth"} 7.0' in exposed(one, one._replace(value=4))


def test_a_histogram_has_cumulative_buckets_and_the_sum() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 0.6, 9.0):
        histogram.observe(value)
    text = exposed(Measure("room_seconds", {}, histogram))
    buckets = [line.rpartition(" ")[2] for line in text.splitlines() if "room_seconds_bucket" in line]
    assert buckets == ["1.0", "3.0", "4.0"]
    assert "turnd_room_seconds_sum 10.2" in text
    assert "turnd_room_seconds_count 4.0" in text


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_gauge_and_a_counter_of_one_name_stand_in_both_formats(accept: str) -> None:
    allocations = Measure("turn_allocations", {"family": "ipv4", "transport": "udp"}, 3)
    made = Measure("turn_allocations_total", {"result": "ok"}, 5)
    text = exposed(allocations, made, accept=accept)
    parse = parse_openmetrics if accept else parse_text
    samples = {sample.name: sample.value for family in parse(text) for sample in family.samples}
    assert samples["turnd_turn_allocations"] == 3
    assert samples["turnd_turn_allocations_total"] == 5


def test_process_collector_and_build_are_there() -> None:
    text = exposed(*build_measures())
    assert f'version="{__version__}"' in text
    assert "turnd_build_info{" in text
    for name in ("process_resident_memory_bytes", "python_gc_collections_total", "python_info"):
        assert f"\n{name}" in text


def test_sockets_are_counted_by_component() -> None:
    counters = dict.fromkeys(udp.COUNTER_NAMES, 0) | {"datagrams_in": 5, "memory_in": 2, "overflow": 1}
    text = exposed(*udp_measures({"sfu": counters, "turn": counters}))
    assert 'turnd_udp_datagrams_total{component="sfu",direction="in"} 5.0' in text
    assert 'turnd_udp_memory_deliveries_total{component="turn"} 2.0' in text
    assert 'turnd_udp_receive_errors_total{reason="overflow"} 2.0' in text


async def test_a_blocked_loop_shows_as_lag() -> None:
    import time

    loop = asyncio.get_running_loop()
    lag = LoopLag(loop)
    lag.start()
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251 - blocking is what is measured
    await asyncio.sleep(0.01)
    lag.close()
    (measure,) = lag.measures()
    assert isinstance(measure.value, Histogram)
    assert 0.1 < measure.value.sum < 0.4
    assert sum(measure.value.counts) == 1
