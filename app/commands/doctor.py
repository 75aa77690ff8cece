"""`cell-backup doctor`: what works, what does not, and how to mend it."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from app.cell.services import find_services
from app.client.place import Place, find_service, service_url
from app.client.service import Service, connected
from app.commands.checks import Finding, Health, local_findings, of_error
from app.commands.parsing import Adding, add_service_options
from app.commands.printing import print_json, say
from app.commands.services import settings_of
from app.engine.base import ContainerState
from app.engine.docker import DockerEngine
from app.engine.endpoint import Endpoint
from app.errors import BackupError, Code, PartError, UnavailableError
from app.jobs.connection import open_link
from app.jobs.embedded import find_server
from app.settings import Settings
from app.telling.exits import Exit

_PATIENCE = 5.0
_EXITS = {Health.OK: Exit.SUCCEEDED, Health.WARN: Exit.PARTIAL, Health.FAIL: Exit.FAILED}
_READY = (200, 503)


def add(command: Adding) -> None:
    """Add the command."""
    parser = command("doctor", _doctor, "Look at everything that backups need, and say how to mend what is wrong.")
    parser.add_argument("--cell-root", type=Path, metavar="DIR", help="folder of the cell")
    add_service_options(parser)


def _doctor(parsed: argparse.Namespace) -> int:
    settings = settings_of(parsed)
    findings = [*local_findings(settings), *asyncio.run(_findings(settings, parsed.url))]
    worst = max((finding.health for finding in findings), key=list(Health).index)
    if parsed.json:
        checks = [
            {"name": one.name, "health": one.health, "detail": one.detail, "cure": one.cure or None} for one in findings
        ]
        print_json({"health": worst, "checks": checks})
    else:
        for one in findings:
            say(f"{one.health:<4}  {one.name:<12} {one.detail}")
            if one.health is not Health.OK and one.cure:
                say(f"      {'':<12} {one.cure}")
    return _EXITS[worst]


async def _findings(settings: Settings, url: str | None) -> list[Finding]:
    found = [await _redis(settings)]
    found += [finding async for finding in _engine(settings)]
    return [*found, *[finding async for finding in _service(url)]]


async def _redis(settings: Settings) -> Finding:
    try:
        if settings.redis_url is None:
            return Finding("redis", Health.OK, f"'cell-backup serve' starts {find_server()}.")
        async with open_link(settings.redis_url.get_secret_value(), patience=0) as link:
            await link.ping()
    except BackupError as error:
        return of_error("redis", error)
    return Finding("redis", Health.OK, "It answers.")


async def _engine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the engine, and at the tar of each container that has a volume."""
    try:
        engine = DockerEngine(Endpoint.resolve(os.environ), stall_seconds=settings.stall_timeout)
    except BackupError as error:
        yield of_error("engine", error, Health.WARN)
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            info = await engine.info()
            containers = {container.name: container for container in await engine.containers()}
        yield Finding("engine", Health.OK, f"Docker {info.version} answers.")
        labels = {name: container.labels for name, container in containers.items()}
        services = await asyncio.to_thread(find_services, settings.cell_root, labels)
        for fault in services.faults:
            yield of_error(f"service {fault.service_id}", fault.error, Health.WARN)
        for name in sorted({volume.container for service in services.found for volume in service.volumes}):
            running = name in containers and containers[name].state is ContainerState.RUNNING
            yield await _tar(engine, name, there=name in containers, running=running)
    except PartError as error:
        yield of_error("engine", error, Health.WARN)
    except TimeoutError:
        cure = "Look at the engine's own log, or restart it; without it no volume is saved."
        yield Finding("engine", Health.WARN, "The Docker engine does not answer in time.", cure)
    finally:
        await engine.close()


async def _tar(engine: DockerEngine, container: str, *, there: bool, running: bool) -> Finding:
    name = f"tar {container}"
    if not there:
        error = PartError(Code.CONTAINER_MISSING, f"There is no container {container}; its volumes are not saved.")
        return of_error(name, error, Health.WARN)
    if not running:
        return Finding(name, Health.OK, "The container does not run: the engine reads its volumes.")
    try:
        done = await engine.run(container, ["tar", "--version"], timeout_seconds=_PATIENCE)
    except PartError as error:
        return of_error(name, error, Health.WARN)
    if done.exit_code != 0 or not done.output.strip():
        detail = "The container has no tar: the engine reads its volumes, without xattrs and ACLs."
        return Finding(name, Health.OK, detail)
    return Finding(name, Health.OK, done.output.strip().splitlines()[0])


async def _service(url: str | None) -> AsyncIterator[Finding]:
    """Look at the service, and at what it says of itself."""
    try:
        async with asyncio.timeout(_PATIENCE):
            async with connected(Place(service_url(url), token="")) as service:  # it answers without one
                health = await service.get("/health")
            yield Finding("service", Health.OK, f"Version {health.get('version')} answers on {service.url}.")
            async with connected(find_service(url)) as service:
                yield await _worker(service)
    except UnavailableError as error:
        yield of_error("service", error, Health.WARN)
    except BackupError as error:
        yield of_error("service", error)
    except TimeoutError:
        detail = f"{service_url(url)} does not answer in time."
        yield Finding("service", Health.FAIL, detail, "Look at its log, and restart it.")


async def _worker(service: Service) -> Finding:
    ready = await service.ask("GET", "/ready", expect=_READY)
    failed = [check for check in ready["checks"] if check["required"] and not check["ok"]]
    if failed:
        detail = " ".join(f"{check['name']}: {check['detail']}" for check in failed)
        return Finding("ready", Health.FAIL, detail, "Mend what it names; 'cell-backup worker' starts a worker.")
    return Finding("ready", Health.OK, "Worker, Redis and folders are well, as the service sees them.")
