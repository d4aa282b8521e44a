"""Discovery in Kubernetes: what slices mean, and how a watch goes on, ends and begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from clockwork import Naps
from discovery_worlds import ServiceAccount, pod, port
from kubernetes_api import KubernetesApi

from makegood.errors import ConfigurationError
from makegood.services.discovery import Absent, Asked, Settings, Unreachable
from makegood.services.discovery.kubernetes import Kubernetes
from makegood.services.discovery.slices import endpoints

pytestmark = pytest.mark.anyio


def asked(discover: str | None = None, url: str | None = None) -> Asked:
    return Asked(service="hotels", discover=discover, url=url)


@pytest.fixture
async def kubernetes(api: KubernetesApi, account: ServiceAccount, naps: Naps) -> AsyncIterator[Kubernetes]:
    made = Kubernetes(Settings(kubernetes_api=api.url, service_account=str(account.folder)), sleep=naps.sleep)
    yield made
    await made.aclose()


@asynccontextmanager
async def watching(kubernetes: Kubernetes, api: KubernetesApi, question: Asked) -> AsyncIterator[Any]:
    """The next answers, with the watch open after the first one, which is given beside."""
    async with aclosing(kubernetes.watch(question)) as answers:
        first = await anext(answers)
        later = Later(answers)
        try:
            await api.until(lambda: api.watching > 0)
            yield first, later
        finally:
            await later.stop()


class Later:
    """Answers that come while a test does something else."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        self._next = asyncio.ensure_future(anext(answers))

    async def __call__(self) -> list[str]:
        async with asyncio.timeout(10):
            found = await self._next
        self._next = asyncio.ensure_future(anext(self._answers))
        return [each.url for each in found]

    async def stop(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)


def urls(found: Any) -> list[str]:
    return [each.url for each in found]


# --- the watch ---


async def test_the_list_is_followed_by_a_watch_from_its_version(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (first, later):
        await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.2")], ports=[port("web")])
        second = await later()

    assert (urls(first), second) == (["http://10.0.0.1:8080"], ["http://10.0.0.2:8080"])
    listed, watched = api.requests
    assert (listed["namespace"], listed["labelSelector"]) == ("shop", "kubernetes.io/service-name=hotels")
    assert "watch" not in listed
    assert (watched["watch"], watched["resourceVersion"], watched["allowWatchBookmarks"]) == ("1", "101", "true")
    assert listed["authorization"] == watched["authorization"] == "Bearer first-token"


async def test_slices_of_one_service_are_merged(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1"), pod("10.0.0.2")], ports=[port("web")])
    await api.put("flights", "flights-1", endpoints=[pod("10.0.9.9")], ports=[port("web")])
    await api.put("hotels", "hotels-2", endpoints=[pod("10.0.0.2"), pod("10.0.0.3")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (first, later):
        await api.delete("hotels-1")
        second = await later()

    assert urls(first) == ["http://10.0.0.1:8080", "http://10.0.0.2:8080", "http://10.0.0.3:8080"]
    assert second == ["http://10.0.0.2:8080", "http://10.0.0.3:8080"]


async def test_a_watch_that_ends_goes_on_after_its_last_bookmark(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        await api.bookmark()
        await api.end_watches()
        await api.until(lambda: len(api.requests) == 3 and api.watching == 1)
        await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.2")], ports=[port("web")])
        second = await later()

    assert second == ["http://10.0.0.2:8080"]
    assert [each.get("resourceVersion") for each in api.requests] == [None, "101", "102"]


async def test_a_watch_that_ends_at_once_is_not_asked_for_again_at_once(
    kubernetes: Kubernetes, api: KubernetesApi, naps: Naps
) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        await api.end_watches()
        await naps.wake()
        await api.until(lambda: len(api.requests) == 3 and api.watching == 1)
        await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.2")], ports=[port("web")])
        await later()

    assert naps.asked_s == [1.0]


@pytest.mark.parametrize("late", [True, False], ids=["as-event", "as-status"])
async def test_a_version_that_is_gone_is_listed_anew(
    kubernetes: Kubernetes, api: KubernetesApi, naps: Naps, late: bool
) -> None:
    api.late_410 = late
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        await api.end_watches()
        await api.until(lambda: api.watching == 0)
        await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.2")], ports=[port("web")])
        await api.compact()
        await naps.wake()
        second = await later()

    assert second == ["http://10.0.0.2:8080"]
    assert ["watch" in each for each in api.requests[:4]] == [False, True, True, False]


async def test_a_slice_that_went_while_the_version_was_lost_is_gone(
    kubernetes: Kubernetes, api: KubernetesApi, naps: Naps
) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])
    await api.put("hotels", "hotels-2", endpoints=[pod("10.0.0.2")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        await api.end_watches()
        await api.until(lambda: api.watching == 0)
        await api.delete("hotels-2")
        await api.compact()
        await naps.wake()
        second = await later()

    assert second == ["http://10.0.0.1:8080"]


async def test_a_connection_that_breaks_ends_the_watch_with_a_reason(
    kubernetes: Kubernetes, api: KubernetesApi
) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        api.break_connections()
        with pytest.raises(Unreachable, match="the watch of the API of Kubernetes broke"):
            await later()


async def test_a_watch_that_is_left_is_closed(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()):
        assert api.watching == 1
    await api.until(lambda: api.watching == 0)


# --- who asks ---


async def test_a_token_that_was_replaced_is_read_anew(
    kubernetes: Kubernetes, api: KubernetesApi, account: ServiceAccount, naps: Naps
) -> None:
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])

    async with watching(kubernetes, api, asked()) as (_, later):
        account.give("second-token")
        api.token = account.token
        await api.end_watches()
        await naps.wake()
        await api.until(lambda: len(api.requests) == 3 and api.watching == 1)
        await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.2")], ports=[port("web")])
        await later()

    assert api.requests[2]["authorization"] == "Bearer second-token"


async def test_a_token_that_is_refused_is_said_without_it(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    api.token = "another"

    with pytest.raises(Unreachable, match="does not accept the service account's token") as refused:
        await anext(kubernetes.watch(asked()))

    assert "first-token" not in str(refused.value)


async def test_a_missing_role_is_said_with_what_is_needed(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    with pytest.raises(Unreachable, match=r"needs a Role to get, list and watch endpointslices .*namespace \"secret\""):
        await anext(kubernetes.watch(asked("secret/hotels")))


async def test_an_api_that_fails_is_said(kubernetes: Kubernetes, api: KubernetesApi) -> None:
    api.lists_break = True

    with pytest.raises(Unreachable, match="answers 500: etcdserver: request timed out"):
        await anext(kubernetes.watch(asked()))


async def test_an_api_that_cannot_prove_its_name_is_not_told_the_token(
    api: KubernetesApi, account: ServiceAccount
) -> None:
    (account.folder / "ca.crt").write_text("")
    kubernetes = Kubernetes(Settings(kubernetes_api=api.url, service_account=str(account.folder)))

    with pytest.raises(Unreachable, match="certificate"):
        await anext(kubernetes.watch(asked()))

    assert api.requests == []


@pytest.mark.parametrize(("missing", "said"), [("token", "token"), ("ca.crt", "ca.crt"), ("namespace", "namespace")])
async def test_a_pod_without_a_service_account_says_what_is_missing(
    api: KubernetesApi, account: ServiceAccount, missing: str, said: str
) -> None:
    (account.folder / missing).unlink()
    kubernetes = Kubernetes(Settings(kubernetes_api=api.url, service_account=str(account.folder)))

    with pytest.raises(Unreachable, match=rf"{said}.*cannot be read"):
        await anext(kubernetes.watch(asked()))


async def test_outside_of_a_cluster_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(Unreachable, match=r"in no pod .*Set kubernetes_api"):
        await anext(Kubernetes(Settings(namespace="shop")).watch(asked()))


async def test_the_api_is_that_of_the_pods_own_cluster(
    api: KubernetesApi, account: ServiceAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT_HTTPS", str(api.port))
    await api.put("hotels", "hotels-1", endpoints=[pod("10.0.0.1")], ports=[port("web")])
    kubernetes = Kubernetes(Settings(service_account=str(account.folder)))

    async with aclosing(kubernetes.watch(asked())) as answers:
        found = await anext(answers)
    await kubernetes.aclose()

    assert urls(found) == ["http://10.0.0.1:8080"]


async def test_the_namespace_is_that_asked_for_or_configured_or_the_pods_own(
    api: KubernetesApi, account: ServiceAccount
) -> None:
    for namespace, discover in ((None, None), ("other", None), (None, "other/hotels")):
        settings = Settings(kubernetes_api=api.url, service_account=str(account.folder), namespace=namespace)
        kubernetes = Kubernetes(settings)
        with pytest.raises(Absent):
            await anext(kubernetes.watch(asked(discover)))
        await kubernetes.aclose()

    assert [each["namespace"] for each in api.requests] == ["shop", "other", "other"]


# --- what slices mean ---


def meant(*slices: dict[str, Any], port: str | None = None, url: str | None = None) -> list[str]:
    return urls(endpoints(slices, asked(url=url), host="hotels.shop.svc", port=port))


def test_only_ready_pods_are_called() -> None:
    slices = {
        "endpoints": [pod("10.0.0.1"), pod("10.0.0.2", ready=False, serving=False), pod("10.0.0.3", ready=None)],
        "ports": [port("web")],
    }

    assert meant(slices) == ["http://10.0.0.1:8080", "http://10.0.0.3:8080"]


def test_pods_that_go_and_still_serve_are_called_when_there_are_no_others() -> None:
    going = pod("10.0.0.1", ready=False, serving=True, terminating=True)
    gone = pod("10.0.0.2", ready=False, serving=False, terminating=True)

    assert meant({"endpoints": [going, gone], "ports": [port("web")]}) == ["http://10.0.0.1:8080"]
    assert meant({"endpoints": [going, pod("10.0.0.3")], "ports": [port("web")]}) == ["http://10.0.0.3:8080"]


def test_a_service_of_which_no_pod_is_ready_is_there_and_empty() -> None:
    assert meant({"endpoints": None, "ports": None}) == []
    assert meant({"endpoints": [pod("10.0.0.1", ready=False, serving=False)], "ports": [port("web")]}) == []


def test_the_zone_and_the_services_name_become_labels() -> None:
    slices = [{"endpoints": [pod("10.0.0.1", zone="eu-1a"), pod("10.0.0.2")], "ports": [port("web")]}]

    found = endpoints(slices, asked(), host="hotels.shop.svc", port=None)

    assert [dict(each.labels) for each in found] == [
        {"host": "hotels.shop.svc", "zone": "eu-1a"},
        {"host": "hotels.shop.svc"},
    ]


def test_a_port_is_found_by_its_name_in_each_slice() -> None:
    one = {"endpoints": [pod("10.0.0.1")], "ports": [port("metrics", 9100), port("web", 8080)]}
    two = {"endpoints": [pod("10.0.0.2")], "ports": [port("web", 8081)]}

    assert meant(one, two, port="web") == ["http://10.0.0.1:8080", "http://10.0.0.2:8081"]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([port("anything")], "http://10.0.0.1:8080"),
        ([port("metrics", 9100), port("http", 8080)], "http://10.0.0.1:8080"),
        ([port("metrics", 9100), port("https", 8443)], "https://10.0.0.1:8443"),
        ([port("web", 8443, appProtocol="https")], "https://10.0.0.1:8443"),
        ([{"name": "dns", "port": 53, "protocol": "UDP"}, port("web")], "http://10.0.0.1:8080"),
        ([{"name": "", "port": 8080}], "http://10.0.0.1:8080"),
    ],
)
def test_without_a_port_it_is_the_only_one_or_that_of_http(ports: list[Any], expected: str) -> None:
    assert meant({"endpoints": [pod("10.0.0.1")], "ports": ports}) == [expected]


@pytest.mark.parametrize(
    ("port_name", "said"), [("web", "has no port 'web'; it has grpc, metrics"), (None, "has the ports grpc, metrics")]
)
def test_a_port_that_is_not_there_is_said_with_those_that_are(port_name: str | None, said: str) -> None:
    slices = {"endpoints": [pod("10.0.0.1")], "ports": [port("metrics", 9100), port("grpc", 9000)]}

    with pytest.raises(Absent, match=said):
        meant(slices, port=port_name)


def test_scheme_and_path_of_the_url_win() -> None:
    slices = {"endpoints": [pod("10.0.0.1")], "ports": [port("https", 8443)]}

    assert meant(slices, url="http://any/api/") == ["http://10.0.0.1:8443/api"]


def test_a_pod_with_two_addresses_is_one_endpoint() -> None:
    four = {"endpoints": [pod("10.0.0.1")], "ports": [port("web")]}
    six = {"endpoints": [{**pod("fd00::1"), "targetRef": {"uid": "uid-10.0.0.1"}}], "ports": [port("web")]}

    assert meant(six, four) == ["http://10.0.0.1:8080"]
    assert meant(six) == ["http://[fd00::1]:8080"]


@pytest.mark.parametrize("odd", [{}, {"addresses": []}, {"addresses": ["hotels.example"]}, {"addresses": [None]}])
def test_what_is_no_endpoint_is_left_out(odd: dict[str, Any]) -> None:
    assert meant({"endpoints": [odd, pod("10.0.0.1")], "ports": [port("web")]}) == ["http://10.0.0.1:8080"]


# --- what is asked ---


@pytest.mark.parametrize("discover", ["hotels", "shop/hotels", "hotels:web", "shop/hotels:web"])
def test_a_service_is_named_with_or_without_namespace_and_port(discover: str) -> None:
    assert Kubernetes(Settings()).check(asked(discover)) is True


@pytest.mark.parametrize("discover", ["", "Hotels", "a/b/c", "hotels:", "/hotels", "hotels.shop", "http://hotels"])
def test_what_names_no_service_is_refused(discover: str) -> None:
    with pytest.raises(ConfigurationError, match="is not namespace/service:port"):
        Kubernetes(Settings()).check(asked(discover))


def test_a_port_by_number_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="give the name that it has in the Service"):
        Kubernetes(Settings()).check(asked("hotels:8080"))


def test_names_that_no_service_can_have_fit_no_convention() -> None:
    assert [Kubernetes(Settings()).check(Asked(service=each)) for each in ("hotels", "my_hotels", "Hotels")] == [
        True, False, False,
    ]  # fmt: skip


def test_a_namespace_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"service_registry\.namespace = 'a/b'"):
        Kubernetes(Settings(namespace="a/b"))
