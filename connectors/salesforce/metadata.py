"""What our own Salesforce fields are, and the zip that brings them: read from `salesforce/force-app`, nowhere else.

Source format (one file a field) is what people edit; the Metadata API takes a zip with the fields inside their
object (Metadata API Developer Guide, "File-Based Calls", read 2026-11). Pure but for reading those files.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from hub.errors import ConfigurationError

SOURCE = Path(__file__).parents[2] / "salesforce" / "force-app" / "main" / "default"
API_VERSION = "64.0"
NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
FOLDERS = {  # folder of both formats -> (its word in package.xml, ending of a file in the Metadata API's format)
    "layouts": ("Layout", "layout"),
    "permissionsets": ("PermissionSet", "permissionset"),
    "reportTypes": ("ReportType", "reportType"),
    "reports": ("Report", "report"),
    "tabs": ("CustomTab", "tab"),
}
# What is sold by -> objects whose fields are for that alone. Not every org has them: orders are switched on in Setup.
SALES = {"Order": ("Order", "OrderItem"), "Contract": ("Contract", "Order", "OrderItem"), "Asset": ("Asset",)}
PARTS = {"fields": "CustomField", "listViews": "ListView"}  # what stands inside an object
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same bytes each time
_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field as its metadata says. `type` is the Metadata API's word; `refers_to` is an object for a lookup.

    `relationship` is how children are called from there; `values` are those of a restricted picklist.
    """

    name: str
    label: str
    type: str
    length: int = 0
    precision: int = 18
    scale: int = 0
    unique: bool = False
    external_id: bool = False
    formula: bool = False
    refers_to: str = ""
    relationship: str = ""
    values: tuple[str, ...] = ()
    help: str = ""


def parse(body: bytes) -> Any:  # noqa: ANN401  (lxml has no types)
    """The root element of an XML document; no DTD, no entities, no network. ValueError where it is none."""
    try:
        return etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"no readable XML: {error.msg}") from error


def said(element: Any, path: str, default: str = "") -> str:  # noqa: ANN401
    """The text at `path` (names with / between) below an element of the Metadata API."""
    return str(element.findtext("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")), default))


def field_of(element: Any) -> Field:  # noqa: ANN401
    """The field that a CustomField or `fields` element describes."""
    path = "/".join(f"{{{NAMESPACE}}}{name}" for name in ("valueSet", "valueSetDefinition", "value"))
    return Field(
        name=said(element, "fullName"),
        label=said(element, "label"),
        type=said(element, "type"),
        length=int(said(element, "length", "0")),
        precision=int(said(element, "precision", "18")),
        scale=int(said(element, "scale", "0")),
        unique=said(element, "unique") == "true",
        external_id=said(element, "externalId") == "true",
        formula=bool(said(element, "formula")),
        refers_to=said(element, "referenceTo"),
        relationship=said(element, "relationshipName"),
        values=tuple(said(value, "fullName") for value in element.iterfind(path)),
        help=said(element, "inlineHelpText"),
    )


def objects(source: Path = SOURCE) -> dict[str, dict[str, Field]]:
    """Our fields by object and name, formulas too; the object that tasks get theirs from is called Activity."""
    return {
        folder.name: {field.name: field for field in map(_field_in, sorted(folder.glob("fields/*.xml")))}
        for folder in sorted((_there(source) / "objects").iterdir())
    }


def permitted(name: str, source: Path = SOURCE) -> dict[str, bool]:
    """The fields that a permission set shows (`Object.Field`), and whether they may be written with it."""
    root = parse((_there(source) / "permissionsets" / f"{name}.permissionset-meta.xml").read_bytes())
    found = root.iterfind(f"{{{NAMESPACE}}}fieldPermissions")
    return {said(one, "field"): said(one, "editable") == "true" for one in found}


def package(source: Path = SOURCE, sells_by: Collection[str] = ()) -> bytes:
    """The zip that the Metadata API deploys; the same source gives the same bytes.

    It leaves out what is for other sales than those: a deploy fails as a whole where an org has no such object.
    """
    wanted = {name for one in sells_by for name in SALES.get(one, ())}
    without = {name for names in SALES.values() for name in names} - wanted
    entries = dict(_entries(_there(source), without))
    entries["package.xml"] = _manifest(entries)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), entries[name])
    return made.getvalue()


def _there(source: Path) -> Path:
    if not source.is_dir():
        raise ConfigurationError(
            "the Salesforce metadata is not there", where=str(source), mend="run the hub out of its checkout"
        )
    return source


def _field_in(file: Path) -> Field:
    return field_of(parse(file.read_bytes()))


def _entries(source: Path, without: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for folder in sorted((source / "objects").iterdir()):
        if folder.name not in without:
            yield f"objects/{folder.name}.object", _object(folder)
    for folder_name, (_, ending) in FOLDERS.items():
        for file in sorted((source / folder_name).rglob("*-meta.xml")):
            name = str(file.relative_to(source)).removesuffix("-meta.xml")
            name = f"{name.removesuffix('.reportFolder')}-meta.xml" if name.endswith(".reportFolder") else name
            if not name.endswith((f".{ending}", "-meta.xml")):
                raise ConfigurationError("this kind of file can't be deployed", where=str(file))
            body = file.read_bytes()
            yield name, _permitting(body, without) if folder_name == "permissionsets" else body


def _permitting(body: bytes, without: Collection[str]) -> bytes:
    """The permission set without these objects and their fields."""
    root = parse(body)
    for part, name in (("fieldPermissions", "field"), ("objectPermissions", "object")):
        for one in root.findall(f"{{{NAMESPACE}}}{part}"):
            if said(one, name).partition(".")[0] in without:
                root.remove(one)
    return _text(root)


def _object(folder: Path) -> bytes:
    """The object's own file with its fields and list views inside, in the order of their names."""
    file = folder / f"{folder.name}.object-meta.xml"
    root = parse(file.read_bytes()) if file.exists() else etree.Element(f"{{{NAMESPACE}}}CustomObject", nsmap=_NSMAP)
    for part in PARTS:
        for one in sorted((folder / part).glob("*-meta.xml")):
            inner = parse(one.read_bytes())
            inner.tag = f"{{{NAMESPACE}}}{part}"
            root.append(inner)
    root[:] = sorted(root, key=lambda element: str(element.tag))
    return _text(root)


_NSMAP: Mapping[str | None, str] = {None: NAMESPACE}


def _text(root: Any) -> bytes:  # noqa: ANN401
    etree.cleanup_namespaces(root, top_nsmap=_NSMAP)
    etree.indent(root, "    ")
    return _HEAD + bytes(etree.tostring(root)) + b"\n"


def _manifest(entries: Mapping[str, bytes]) -> bytes:
    """package.xml: every component by name."""
    members: dict[str, list[str]] = {}
    for name, body in entries.items():
        folder, _, rest = name.partition("/")
        stem = re.sub(r"(-meta\.xml|\.\w+)$", "", rest)
        if folder != "objects":
            members.setdefault(FOLDERS[folder][0], []).append(stem)
            continue
        if stem.endswith("__c"):
            members.setdefault("CustomObject", []).append(stem)
        for part, word in PARTS.items():
            inner = parse(body).iterfind(f"{{{NAMESPACE}}}{part}")
            members.setdefault(word, []).extend(f"{stem}.{said(one, 'fullName')}" for one in inner)
    root = etree.Element(f"{{{NAMESPACE}}}Package", nsmap=_NSMAP)
    for word in sorted(members):
        types = etree.SubElement(root, f"{{{NAMESPACE}}}types")
        for member in sorted(members[word]):
            etree.SubElement(types, f"{{{NAMESPACE}}}members").text = member
        etree.SubElement(types, f"{{{NAMESPACE}}}name").text = word
    etree.SubElement(root, f"{{{NAMESPACE}}}version").text = API_VERSION
    return _text(root)
