"""A client of CalDAV, CardDAV and WebDAV servers: as much of RFC 4918, 4791 and 6352 as filling and reading takes."""

from typing import Self
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

import httpx2

_CALDAV = "urn:ietf:params:xml:ns:caldav"
_CARDDAV = "urn:ietf:params:xml:ns:carddav"
_NAMES = f'xmlns:D="DAV:" xmlns:C="{_CALDAV}" xmlns:R="{_CARDDAV}"'
_KINDS = {"calendar": "C:calendar", "contacts": "R:addressbook"}
_QUERIES = {
    "calendar": (
        f"<C:calendar-query {_NAMES}><D:prop><D:getetag/><C:calendar-data/></D:prop>"
        '<C:filter><C:comp-filter name="VCALENDAR"/></C:filter></C:calendar-query>'
    ),
    "contacts": (
        f"<R:addressbook-query {_NAMES}><D:prop><D:getetag/><R:address-data/></D:prop><R:filter/></R:addressbook-query>"
    ),
}
_CONTENTS = {"calendar": f"{{{_CALDAV}}}calendar-data", "contacts": f"{{{_CARDDAV}}}address-data"}

Items = dict[str, tuple[str, str]]


class DavClient:
    """Speak to one server as one user; an answer that is not expected fails with what the server said."""

    def __init__(self, address: str, user: str = "ada") -> None:
        self._http = httpx2.Client(base_url=address, auth=(user, "any"), timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def make_collection(self, path: str, *, kind: str, name: str) -> None:
        """Make a calendar or an address book."""
        kinds = f"<D:resourcetype><D:collection/><{_KINDS[kind]}/></D:resourcetype>"
        properties = f"<D:set><D:prop>{kinds}<D:displayname>{name}</D:displayname></D:prop></D:set>"
        self._ask("MKCOL", path, 201, content=f"<D:mkcol {_NAMES}>{properties}</D:mkcol>")

    def make_folder(self, path: str) -> None:
        """Make a folder of files."""
        self._ask("MKCOL", path, 201)

    def put(self, path: str, content: bytes, *, media_type: str = "application/octet-stream") -> None:
        """Store a new item, and never change one that is there."""
        headers = {"Content-Type": media_type, "If-None-Match": "*"}
        self._ask("PUT", path, 201, content=content, headers=headers)

    def items(self, path: str, *, kind: str) -> Items:
        """Give ETag and contents of every item of a calendar or an address book, by path."""
        answer = self._ask("REPORT", path, 207, content=_QUERIES[kind], headers={"Depth": "1"})
        found = {}
        for href, properties in _responses(answer):
            found[href] = (properties["{DAV:}getetag"], properties[_CONTENTS[kind]])
        return found

    def display_name(self, path: str) -> str:
        """Give the name that people see of a collection."""
        asked = f"<D:propfind {_NAMES}><D:prop><D:displayname/></D:prop></D:propfind>"
        ((_, properties),) = _responses(self._ask("PROPFIND", path, 207, content=asked, headers={"Depth": "0"}))
        return properties["{DAV:}displayname"]

    def delete(self, path: str) -> None:
        """Delete an item."""
        self._ask("DELETE", path, 204)

    def exists(self, path: str) -> bool:
        """Tell whether the server knows a path."""
        return self._http.request("PROPFIND", path, headers={"Depth": "0"}).status_code == 207

    def files(self, path: str = "/") -> dict[str, bytes | None]:
        """Give the contents of every file below a folder by path; a folder has none."""
        answer = self._ask("PROPFIND", path, 207, headers={"Depth": "1"})
        found: dict[str, bytes | None] = {}
        for href, _ in _responses(answer):
            if href == path:
                continue
            if href.endswith("/"):
                found |= {href: None, **self.files(href)}
            else:
                found[href] = self._ask("GET", href, 200).content
        return found

    def _ask(
        self, method: str, path: str, expect: int, *, content: str | bytes = b"", headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        answer = self._http.request(method, quote(path), content=content, headers=headers)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer


def _responses(answer: httpx2.Response) -> list[tuple[str, dict[str, str]]]:
    """Read a multistatus document: paths with the properties that each has."""
    found = []
    for response in ET.fromstring(answer.content).iter("{DAV:}response"):
        properties = {
            item.tag: item.text or ""
            for status in response.iter("{DAV:}propstat")
            if " 200 " in (status.findtext("{DAV:}status") or "")
            for item in next(status.iter("{DAV:}prop"))
        }
        found.append((unquote(response.findtext("{DAV:}href") or ""), properties))
    return found
