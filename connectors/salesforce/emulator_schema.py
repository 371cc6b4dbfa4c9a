"""The emulated org's schema: a few standard objects with the fields that matter here, and whatever is deployed.

Custom objects and fields come out of a deployed zip alone, so what a push fills must be in `salesforce/force-app`.
The standard part is held against recorded describes by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from connectors.salesforce.metadata import Field

NEVER_EMPTY = ("OwnerId", "CreatedDate", "LastModifiedDate", "SystemModstamp")
NUMBERS = ("double", "percent", "currency", "int")
TEXTS = ("string", "textarea", "picklist", "phone", "url", "email")
SYSTEM = (
    "Id id!",
    "IsDeleted boolean!",
    "CreatedDate datetime!",
    "SystemModstamp datetime!",
    "LastModifiedDate datetime!",
)
# `*` required at creation, `!` never written, `+` only at creation, `@` found by (idLookup), `>Object` a reference.
STANDARD = {  # object -> key prefix, and its fields, one a line
    "Account": (
        "001",
        """
        Name string 255*
        Phone phone 40
        Website url 255
        AccountNumber string 40
        Type picklist 40
        Industry picklist 40
        OwnerId >User
        ParentId >Account
        """,
    ),
    "Contact": (
        "003",
        """
        LastName string 80*
        FirstName string 40
        Email email 80@
        Phone phone 40
        AccountId >Account
        OwnerId >User
        """,
    ),
    "Opportunity": (
        "006",
        """
        Name string 120*
        AccountId >Account
        StageName picklist 255*
        CloseDate date*
        Amount currency
        Type picklist 255
        OwnerId >User
        IsClosed boolean!
        IsWon boolean!
        ForecastCategory picklist 255!
        LastStageChangeDate datetime!
        """,
    ),
    "Product2": (
        "01t",
        """
        Name string 255*
        ProductCode string 255
        Family picklist 255
        IsActive boolean
        """,
    ),
    "OpportunityLineItem": (
        "00k",
        """
        OpportunityId >Opportunity*+
        Product2Id >Product2+
        Quantity double*
        UnitPrice currency
        ServiceDate date
        Description string 255
        """,
    ),
    "Contract": (
        "800",
        """
        AccountId >Account*
        StartDate date
        EndDate date!
        ContractTerm int
        Status picklist 255
        StatusCode picklist 255!
        ActivatedDate datetime!
        OwnerId >User
        """,
    ),
    "Order": (
        "801",
        """
        AccountId >Account
        ContractId >Contract
        Type picklist 255
        EffectiveDate date*
        EndDate date
        Status picklist 255
        StatusCode picklist 255!
        """,
    ),
    "OrderItem": (
        "802",
        """
        OrderId >Order*+
        Product2Id >Product2+
        Quantity double*
        UnitPrice currency
        ServiceDate date
        EndDate date
        """,
    ),
    "Asset": (
        "02i",
        """
        Name string 255*
        AccountId >Account
        Product2Id >Product2
        Quantity double
        Status picklist 255
        InstallDate date
        UsageEndDate date
        """,
    ),
    "Task": (
        "00T",
        """
        Subject string 255
        Description textarea 32000
        WhatId >Account,Opportunity
        WhoId >Contact
        OwnerId >User
        ActivityDate date
        Priority picklist 255
        Status picklist 255
        IsClosed boolean!
        """,
    ),
    "User": (
        "005",
        """
        Username string 80*
        Name string 121!
        Email email 128*
        IsActive boolean
        """,
    ),
    "Organization": (
        "00D",
        """
        Name string 80
        IsSandbox boolean!
        OrganizationType picklist 255!
        """,
    ),
    "PermissionSet": (
        "0PS",
        """
        Name string 80*
        Label string 80*
        """,
    ),
    "PermissionSetAssignment": (
        "0Pa",
        """
        PermissionSetId >PermissionSet*+
        AssigneeId >User*+
        """,
    ),
    "ContentDocument": (
        "069",
        """
        Title string 255
        LatestPublishedVersionId >ContentVersion!
        FileExtension string 40!
        """,
    ),
    "ContentVersion": (
        "068",
        """
        Title string 255
        PathOnClient string 500+
        VersionData base64
        ContentDocumentId >ContentDocument+
        FirstPublishLocationId >Opportunity,Account+
        IsLatest boolean!
        VersionNumber string 20!
        ContentSize int!
        Description textarea 1000
        """,
    ),
    "ContentDocumentLink": (
        "06A",
        """
        LinkedEntityId >Opportunity,Account*+
        ContentDocumentId >ContentDocument*+
        ShareType picklist 255
        """,
    ),
}
KINDS = {  # the Metadata API's word -> describe's
    "Text": "string",
    "Number": "double",
    "Percent": "percent",
    "Date": "date",
    "DateTime": "datetime",
    "Picklist": "picklist",
    "LongTextArea": "textarea",
    "Url": "url",
    "Lookup": "reference",
    "Checkbox": "boolean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A field as describe tells it."""

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    createable: bool = True
    updateable: bool = True
    required: bool = False
    unique: bool = False
    external_id: bool = False
    id_lookup: bool = False
    refers_to: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    calculated: bool = False

    @property
    def custom(self) -> bool:
        """Whether it was deployed."""
        return self.name.endswith("__c")

    @property
    def relationship(self) -> str | None:
        """How SOQL and nested references call the parent."""
        if not self.refers_to:
            return None
        return self.name[:-3] + "__r" if self.custom else self.name.removesuffix("Id")

    def describe(self) -> dict[str, Any]:
        """This field's part of a describe."""
        return {
            "name": self.name,
            "label": self.label or self.name,
            "type": self.type,
            "length": self.length,
            "precision": self.precision,
            "scale": self.scale,
            "createable": self.createable,
            "updateable": self.updateable,
            "nillable": not self.required and self.type not in ("boolean", "id") and self.name not in NEVER_EMPTY,
            "custom": self.custom,
            "calculated": self.calculated,
            "externalId": self.external_id,
            "unique": self.unique,
            "idLookup": self.external_id or self.id_lookup or self.type == "id",
            "referenceTo": list(self.refers_to),
            "relationshipName": self.relationship,
            "restrictedPicklist": bool(self.values),
            "picklistValues": [{"value": one, "label": one, "active": True} for one in self.values],
        }


@dataclass(slots=True)
class Kind:
    """An object: its key prefix, and its columns by lower-case name (field names ignore case)."""

    name: str
    prefix: str
    columns: dict[str, Column] = field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        """The column of this name, in whatever case."""
        return self.columns.get(name.lower())

    def parent(self, relationship: str) -> Column | None:
        """The reference that is called so."""
        wanted = relationship.lower()
        return next((one for one in self.columns.values() if (one.relationship or "").lower() == wanted), None)

    def add(self, column: Column) -> None:
        """The column is there from now on."""
        self.columns[column.name.lower()] = column


def standard() -> dict[str, Kind]:
    """A fresh org's objects by lower-case name."""
    return copied(_standard())


def copied(kinds: dict[str, Kind]) -> dict[str, Kind]:
    """The same objects, to be changed apart from these."""
    return {name: Kind(kind.name, kind.prefix, dict(kind.columns)) for name, kind in kinds.items()}


@cache
def _standard() -> dict[str, Kind]:
    made = {}
    for name, (prefix, text) in STANDARD.items():
        kind = Kind(name, prefix)
        for row in [*SYSTEM, *map(str.strip, text.strip().splitlines())]:
            kind.add(_column(row))
        made[name.lower()] = kind
    return made


def custom_kind(name: str, number: int) -> Kind:
    """A deployed object without its fields; prefixes go a00, a01 ..."""
    kind = Kind(name, f"a{number:02}")
    for row in (*SYSTEM, "Name string 80!", "OwnerId >User"):
        kind.add(_column(row))
    return kind


def deployed(one: Field) -> Column:
    """The column that a field's metadata makes."""
    return Column(
        name=one.name,
        label=one.label,
        type=KINDS[one.type],
        length=one.length,
        precision=one.precision,
        scale=one.scale,
        createable=not one.formula,
        updateable=not one.formula,
        unique=one.unique,
        external_id=one.external_id,
        refers_to=(one.refers_to,) if one.refers_to else (),
        values=one.values,
        calculated=one.formula,
    )


def _column(row: str) -> Column:
    marks = row[len(row.rstrip("*!+@")) :]
    name, type_, *length = row.rstrip("*!+@").split()
    refers = tuple(type_[1:].split(",")) if type_.startswith(">") else ()
    return Column(
        name=name,
        type="reference" if refers else type_,
        length=int(length[0]) if length else 18 if refers or type_ == "id" else 0,
        precision=18 if type_ in NUMBERS else 0,
        scale=2 if type_ == "currency" else 0,
        createable="!" not in marks,
        updateable=not set("!+") & set(marks),
        required="*" in marks,
        id_lookup="@" in marks,
        refers_to=refers,
    )
