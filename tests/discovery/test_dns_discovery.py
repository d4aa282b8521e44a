"""Discovery over DNS: what records mean, for how long they hold, and what is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import dns.rcode
import pytest
from clockwork import Naps
from dns_server import DnsServer

from makegood.errors import ConfigurationError
from makegood.services.discovery import Absent, Asked, Endpoint, Settings, Unreachable
from makegood.services.discovery.dns import Dns

pytestmark = pytest.mark.anyio


def asked(discover: str, url: str | None = None) -> Asked:
    return Asked(service="hotels", discover=discover, url=url)


def made(server: DnsServer, naps: Naps | None = None, answer_s_max: float = 5, **settings: object) -> Dns:
    sleep = asyncio.sleep if naps is None else naps.sleep
    return Dns(Settings(dns_server=server.address, **settings), sleep=sleep, answer_s_max=answer_s_max)  # type: ignore[arg-type]


async def found(discovery: Dns, question: Asked) -> Sequence[Endpoint]:
    async with aclosing(discovery.watch(question)) as answers:
        return await anext(answers)


async def test_srv_records_give_host_port_priority_and_weight(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "20 0 9001 spare.example.", "10 60 9000 first.example.")
    dns_server.put("first.example", "A", "10.0.0.1")
    dns_server.put("spare.example", "A", "10.0.0.2")

    endpoints = await found(made(dns_server), asked("_http._tcp.hotels.example", "http://any/api"))

    assert [(each.url, dict(each.labels)) for each in endpoints] == [
        ("http://10.0.0.1:9000/api", {"host": "first.example", "priority": "10", "weight": "60"}),
        ("http://10.0.0.2:9001/api", {"host": "spare.example", "priority": "20", "weight": "0"}),
    ]


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("_https._tcp.hotels.example", None, "https://10.0.0.1:9000"),
        ("_http._tcp.hotels.example", None, "http://10.0.0.1:9000"),
        ("_http._tcp.hotels.example", "https://any/v2/", "https://10.0.0.1:9000/v2"),
    ],
)
async def test_the_scheme_is_that_of_the_url_or_of_the_srv_name(
    dns_server: DnsServer, name: str, url: str | None, expected: str
) -> None:
    dns_server.put(name, "SRV", "0 0 9000 first.example.")
    dns_server.put("first.example", "A", "10.0.0.1")

    (endpoint,) = await found(made(dns_server), asked(name, url))

    assert endpoint.url == expected


async def test_both_families_of_a_host_are_found_with_the_urls_port_and_path(dns_server: DnsServer) -> None:
    dns_server.put("hotels.example", "A", "10.0.0.1")
    dns_server.put("hotels.example", "AAAA", "::1")

    endpoints = await found(made(dns_server), asked("hotels.example", "http://hotels.example:9000/api"))

    assert [each.url for each in endpoints] == ["http://10.0.0.1:9000/api", "http://[::1]:9000/api"]
    assert {each.labels["host"] for each in endpoints} == {"hotels.example"}


async def test_an_alias_is_followed_and_the_shortest_time_to_live_counts(dns_server: DnsServer, naps: Naps) -> None:
    dns_server.put("hotels.example", "CNAME", "lb.example.", ttl_s=20)
    dns_server.put("lb.example", "A", "10.0.0.1", ttl_s=90)
    dns_server.negative_s = 600
    discovery = made(dns_server, naps)

    async with aclosing(discovery.watch(asked("hotels.example"))) as answers:
        first = await anext(answers)
        again = asyncio.ensure_future(anext(answers))
        dns_server.put("lb.example", "A", "10.0.0.9", ttl_s=90)
        await naps.wake()
        second = await again

    assert [each.url for each in (*first, *second)] == ["http://10.0.0.1", "http://10.0.0.9"]
    assert naps.asked_s == [20]


@pytest.mark.parametrize(("ttl_s", "waited_s"), [(0, 5), (1, 5), (60, 60), (86_400, 300)])
async def test_a_time_to_live_is_kept_within_bounds(
    dns_server: DnsServer, naps: Naps, ttl_s: int, waited_s: float
) -> None:
    dns_server.put("hotels.example", "A", "10.0.0.1", ttl_s=ttl_s)
    dns_server.negative_s = 86_400
    discovery = made(dns_server, naps, ttl_seconds_min=5.0, ttl_seconds_max=300.0)

    async with aclosing(discovery.watch(asked("hotels.example"))) as answers:
        await anext(answers)
        again = asyncio.ensure_future(anext(answers))
        dns_server.put("hotels.example", "A", "10.0.0.2")
        await naps.wake()
        await again

    assert naps.asked_s == [waited_s]


async def test_an_answer_too_large_for_a_datagram_is_asked_for_over_tcp(dns_server: DnsServer) -> None:
    dns_server.put("hotels.example", "A", *(f"10.0.{index // 200}.{index % 200 + 1}" for index in range(600)))

    endpoints = await found(made(dns_server), asked("hotels.example"))

    assert len(endpoints) == 600
    assert ("hotels.example", "A", "tcp") in dns_server.asked


async def test_no_such_name_is_said_and_asked_again_when_its_zone_says(dns_server: DnsServer) -> None:
    dns_server.negative_s = 12

    with pytest.raises(Absent, match=r"there is no name hotels\.example in the DNS") as absent:
        await found(made(dns_server), asked("hotels.example"))

    assert absent.value.again_s == 12


async def test_a_name_without_an_address_is_absent(dns_server: DnsServer) -> None:
    dns_server.put("hotels.example", "TXT", '"hello"')

    with pytest.raises(Absent, match=r"hotels\.example has no address"):
        await found(made(dns_server), asked("hotels.example"))


async def test_an_srv_name_without_such_a_record_is_absent(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "TXT", '"hello"')

    with pytest.raises(Absent, match="has no SRV record"):
        await found(made(dns_server), asked("_http._tcp.hotels.example"))


async def test_an_srv_record_may_say_that_there_is_no_such_service(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "0 0 0 .")

    with pytest.raises(Absent, match="says that there is no such service"):
        await found(made(dns_server), asked("_http._tcp.hotels.example"))


async def test_an_srv_target_without_an_address_does_not_hide_the_others(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "0 0 9000 gone.example.", "0 0 9000 first.example.")
    dns_server.put("first.example", "A", "10.0.0.1")

    endpoints = await found(made(dns_server), asked("_http._tcp.hotels.example"))

    assert [each.url for each in endpoints] == ["http://10.0.0.1:9000"]


async def test_srv_targets_without_any_address_are_absent(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "0 0 9000 gone.example.")

    with pytest.raises(Absent, match="lead to names without an address"):
        await found(made(dns_server), asked("_http._tcp.hotels.example"))


async def test_of_two_records_for_one_place_the_better_one_counts(dns_server: DnsServer) -> None:
    dns_server.put("_http._tcp.hotels.example", "SRV", "20 0 9000 same.example.", "10 0 9000 other.example.")
    dns_server.put("same.example", "A", "10.0.0.1")
    dns_server.put("other.example", "A", "10.0.0.1")

    (endpoint,) = await found(made(dns_server), asked("_http._tcp.hotels.example"))

    assert endpoint.labels["priority"] == "10"


@pytest.mark.parametrize("status", ["SERVFAIL", "REFUSED"])
async def test_a_resolver_that_cannot_tell_gives_no_answer(dns_server: DnsServer, status: str) -> None:
    dns_server.put("hotels.example", "A", "10.0.0.1")
    dns_server.refuses = dns.rcode.from_text(status)

    with pytest.raises(Unreachable, match=rf"hotels\.example.*127\.0\.0\.1.*{status}"):
        await found(made(dns_server), asked("hotels.example"))


async def test_a_resolver_that_is_silent_gives_no_answer(dns_server: DnsServer) -> None:
    dns_server.silent = True

    with pytest.raises(Unreachable, match="no answer in time"):
        await found(made(dns_server, answer_s_max=0.3), asked("hotels.example"))


async def test_a_resolver_that_knows_nothing_of_ipv6_does_not_hide_a_host(dns_server: DnsServer) -> None:
    dns_server.put("hotels.example", "A", "10.0.0.1")
    dns_server.unanswered = {"AAAA"}

    (endpoint,) = await found(made(dns_server, answer_s_max=0.3), asked("hotels.example"))

    assert endpoint.url == "http://10.0.0.1"


async def test_a_family_that_was_answered_and_is_not_any_more_is_not_taken_for_gone(
    dns_server: DnsServer, naps: Naps
) -> None:
    dns_server.put("hotels.example", "A", "10.0.0.1")
    dns_server.put("hotels.example", "AAAA", "::1")

    async with aclosing(made(dns_server, naps, answer_s_max=0.3).watch(asked("hotels.example"))) as answers:
        await anext(answers)
        again = asyncio.ensure_future(anext(answers))
        dns_server.unanswered = {"A"}
        await naps.wake()
        with pytest.raises(Unreachable, match=r"hotels\.example \(A\)"):
            await again


async def test_services_are_found_by_their_names_below_the_domain(dns_server: DnsServer) -> None:
    dns_server.put("hotels.services.example", "A", "10.0.0.1")

    (endpoint,) = await found(made(dns_server, domain="services.example"), Asked(service="hotels"))

    assert endpoint.url == "http://10.0.0.1"
    assert dns_server.asked[0][0] == "hotels.services.example"


async def test_without_a_domain_nothing_is_found_by_its_name(dns_server: DnsServer) -> None:
    assert made(dns_server).check(Asked(service="hotels")) is False
    assert made(dns_server, domain="example").check(Asked(service="hotels")) is True


@pytest.mark.parametrize(
    ("discover", "url", "said"),
    [
        ("hotels example", None, "is no host name or SRV name"),
        ("hotels.example:8080", None, "is no host name or SRV name"),
        ("http://hotels.example", None, "is no host name or SRV name"),
        ("a" * 64 + ".example", None, "is no name of the DNS"),
        ("hotels..example", None, "is no name of the DNS"),
        ("", None, "is no name of the DNS"),
        (".", None, "is no name of the DNS"),
        ("10.0.0.1", None, "an address, not a name"),
        ("::1", None, "an address, not a name"),
        ("_http._tcp.hotels.example", "http://any:80/", "Take the port out of url"),
    ],
)
def test_what_is_no_name_is_refused_with_a_reason(discover: str, url: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match="service 'hotels'") as refused:
        Dns(Settings()).check(asked(discover, url))

    assert said in str(refused.value)


@pytest.mark.parametrize("server", ["resolver.example", "10.0.0.2:99999", "10.0.0", "", "10.0.0.2:53:53"])
def test_a_dns_server_that_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ConfigurationError, match=r"service_registry\.dns_server"):
        Dns(Settings(dns_server=server))


@pytest.mark.parametrize("server", ["10.0.0.2", "10.0.0.2:8600", "::1", "[::1]", "[::1]:8600"])
def test_a_dns_server_is_an_address_with_or_without_a_port(server: str) -> None:
    Dns(Settings(dns_server=server))


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="ttl_seconds_min = 10 is more than ttl_seconds_max = 5"):
        Dns(Settings(ttl_seconds_min=10, ttl_seconds_max=5))
