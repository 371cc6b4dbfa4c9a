"""The emulated org's metadata deploy: a zip is unpacked, checked part against part, and becomes schema."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from connectors.salesforce.emulator_schema import KINDS, Kind, copied, custom_kind, deployed
from connectors.salesforce.metadata import FOLDERS, NAMESPACE, field_of, parse, said

SHARED_BY_TASKS = "Activity"  # its fields stand on tasks (and events)


@dataclass
class PermissionSet:
    """What a permission set shows and lets write, as `Object.Field` and `Object`, in lower case."""

    name: str
    label: str
    reads: set[str] = field(default_factory=set)
    edits: set[str] = field(default_factory=set)
    objects: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class Deployed:
    """What came of a deploy: nothing is changed where there is a failure, or with check_only."""

    kinds: dict[str, Kind]
    permission_sets: dict[str, PermissionSet]
    components: list[str]
    failures: list[dict[str, Any]]


def read(archive: bytes, kinds: dict[str, Kind]) -> Deployed:
    """The zip laid over `kinds` (copied), with every failure found; single-package, as the hub sends it."""
    found = Deployed(copied(kinds), {}, [], [])
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
    except zipfile.BadZipFile:
        found.failures.append(_failure("package.xml", "", "No package.xml found"))
        return found
    if "package.xml" not in files:
        found.failures.append(_failure("package.xml", "", "No package.xml found"))
        return found
    _objects(files, found)
    _permission_sets(files, found)
    for name, body in files.items():
        found.failures += [_failure(name, path, text) for path, text in _unknown(name, body, found.kinds)]
    _check_manifest(files, found)
    return found


def _objects(files: dict[str, bytes], found: Deployed) -> None:
    bodies = {name: parse(body) for name, body in files.items() if name.startswith("objects/")}
    for file in bodies:
        name = file.removeprefix("objects/").removesuffix(".object")
        if name.endswith("__c") and name.lower() not in found.kinds:
            customs = sum(kind.name.endswith("__c") for kind in found.kinds.values())
            found.kinds[name.lower()] = custom_kind(name, customs)
    for file, root in bodies.items():
        name = file.removeprefix("objects/").removesuffix(".object")
        kind = found.kinds.get("task" if name == SHARED_BY_TASKS else name.lower())
        if kind is None:
            found.failures.append(_failure(file, name, f"Entity of type 'CustomObject' named '{name}' cannot be found"))
            continue
        for element in root.iterfind(f"{{{NAMESPACE}}}fields"):
            _field(file, kind, element, found)
        for element in root.iterfind(f"{{{NAMESPACE}}}listViews"):
            found.components.append(f"{name}.{said(element, 'fullName')}")


def _field(file: str, kind: Kind, element: Any, found: Deployed) -> None:  # noqa: ANN401
    one = field_of(element)
    if one.type not in KINDS:
        found.failures.append(_failure(file, f"{kind.name}.{one.name}", f"Unknown field type: {one.type}"))
        return
    if one.refers_to and one.refers_to.lower() not in found.kinds:
        problem = f"referenceTo value of '{one.refers_to}' does not resolve to a valid sObject type"
        found.failures.append(_failure(file, f"{kind.name}.{one.name}", problem))
        return
    kind.add(deployed(one))
    found.components.append(f"{kind.name}.{one.name}")


def _permission_sets(files: dict[str, bytes], found: Deployed) -> None:
    for name, body in files.items():
        if not name.startswith("permissionsets/"):
            continue
        root = parse(body)
        made = PermissionSet(re.sub(r".*/|\..*", "", name), said(root, "label"))
        for one in root.iterfind(f"{{{NAMESPACE}}}fieldPermissions"):
            of = said(one, "field").lower()
            made.reads |= {of} if said(one, "readable") == "true" else set()
            made.edits |= {of} if said(one, "editable") == "true" else set()
        for one in root.iterfind(f"{{{NAMESPACE}}}objectPermissions"):
            words = {"read": "allowRead", "create": "allowCreate", "edit": "allowEdit"}
            made.objects[said(one, "object").lower()] = {w for w, tag in words.items() if said(one, tag) == "true"}
        found.permission_sets[made.name] = made


def _unknown(file: str, body: bytes, kinds: dict[str, Kind]) -> Iterator[tuple[str, str]]:
    """Fields that a permission set, layout, list view, report type or report names and nobody has."""
    folder = file.partition("/")[0]
    if folder == "permissionsets":
        for one in parse(body).iterfind(f"{{{NAMESPACE}}}fieldPermissions"):
            yield from _missing(kinds, *said(one, "field").split("."))
    elif folder == "layouts":
        object_name = file.removeprefix("layouts/").partition("-")[0]
        for one in parse(body).iter(f"{{{NAMESPACE}}}layoutItems"):
            if name := said(one, "field"):
                yield from _missing(kinds, object_name, name)
    elif folder in ("reports", "reportTypes"):
        for object_name, name in re.findall(r"([A-Za-z_]+__c)\$([A-Za-z0-9_]+)<", body.decode()):
            yield from _missing(kinds, object_name, name)
        for one in parse(body).iter(f"{{{NAMESPACE}}}columns"):
            if table := said(one, "table"):
                yield from _missing(kinds, table, said(one, "field"))
    elif folder == "objects":
        object_name = file.removeprefix("objects/").removesuffix(".object")
        for one in parse(body).iterfind(f"{{{NAMESPACE}}}listViews"):
            for column in one.iterfind(f"{{{NAMESPACE}}}columns"):
                if str(column.text).endswith("__c"):
                    yield from _missing(kinds, object_name, str(column.text))


def _missing(kinds: dict[str, Kind], object_name: str, name: str) -> Iterator[tuple[str, str]]:
    kind = kinds.get(object_name.lower())
    if kind is None or kind.column(name) is None:
        yield f"{object_name}.{name}", f"In field: field - no CustomField named {object_name}.{name} found"


def _check_manifest(files: dict[str, bytes], found: Deployed) -> None:
    """What package.xml lists is in the zip, and the zip has nothing else."""
    words = {word: (folder, ending) for folder, (word, ending) in FOLDERS.items()}
    wanted = {"package.xml"}
    for types in parse(files["package.xml"]).iterfind(f"{{{NAMESPACE}}}types"):
        word = said(types, "name")
        for member in types.iterfind(f"{{{NAMESPACE}}}members"):
            if word in ("CustomObject", "CustomField", "ListView"):
                wanted.add(f"objects/{str(member.text).partition('.')[0]}.object")
                continue
            folder, ending = words[word]
            path = f"{folder}/{member.text}.{ending}"
            wanted.add(path if path in files else f"{folder}/{member.text}-meta.xml")
            found.components.append(str(member.text))
    for name in sorted(wanted - files.keys()):
        found.failures.append(_failure("package.xml", name, "named in package.xml, but not found in zipped directory"))
    for name in sorted(files.keys() - wanted):
        found.failures.append(_failure(name, name, "File is not declared in package.xml"))


def _failure(file: str, name: str, problem: str) -> dict[str, Any]:
    return {
        "fileName": file,
        "fullName": name,
        "problem": problem,
        "problemType": "Error",
        "success": False,
        "componentType": "",
    }
