"""Which column of a file is which field: as the request says, or guessed from the headings. Pure.

Each column is a field or nothing (E7). Where the request says a mapping, that is all there is; else a heading is a
field if it is its name, its label, or one of the words for it in French and English (`WORDS`), by letters and digits
alone, without case and accents. Headings that are nobody's are told, and make no fields.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from services.contacts.base import fields as kinds
from services.contacts.base.fields import TAGS
from services.contacts.imports.cells import Kind
from shared.mail.addresses import AROUND
from shared.tabular import headings
from shared.tabular.headings import NoHeading, plain, shown

#: What a column may be besides a field: the opt-in to e-mail (E11), and what is known of the address (E12).
OPT_IN, STATUS = "opt_in_email", "status_email"

#: What the fields that are there from the start are called in files, as `bare` writes it.
WORDS: Mapping[str, frozenset[str]] = {
    "email": frozenset(
        "".join(char for char in unicodedata.normalize("NFD", name) if not unicodedata.combining(char))
        for name in headings.EMAIL | {"mail", "mel"}
    ),
    "last_name": frozenset(("nom", "nomdefamille", "lastname", "surname", "familyname", "name")),
    "first_name": frozenset(("prenom", "firstname", "givenname", "forename")),
    "title": frozenset(("civilite", "titre", "title", "salutation")),
    "company": frozenset(("societe", "entreprise", "raisonsociale", "company", "companyname", "organisation")),
    "address": frozenset(("adresse", "adressepostale", "rue", "voie", "address", "street", "streetaddress")),
    "address_2": frozenset(("complementdadresse", "complementadresse", "adresse2", "address2", "addressline2")),
    "postcode": frozenset(("codepostal", "cp", "postcode", "postalcode", "zip", "zipcode")),
    "town": frozenset(("ville", "commune", "localite", "town", "city")),
    "country": frozenset(("pays", "country")),
    "mobile": frozenset(
        (
            "mobile",
            "portable",
            "telephoneportable",
            "telportable",
            "telephonemobile",
            "telmobile",
            "numeromobile",
            "mobilephone",
            "cell",
            "cellphone",
            "gsm",
        )
    ),
    "telephone": frozenset(("tel", "telephonefixe", "telfixe", "fixe", "phone", "phonenumber", "landline")),
    "language": frozenset(("langue", "language", "lang", "locale")),
    "time_zone": frozenset(("fuseauhoraire", "fuseau", "timezone", "tz")),
    "birthday": frozenset(("datedenaissance", "naissance", "anniversaire", "birthday", "birthdate", "dateofbirth")),
    "customer_number": frozenset(
        (
            "numeroclient",
            "numclient",
            "nclient",
            "noclient",
            "codeclient",
            "referenceclient",
            "idclient",
            "customernumber",
            "customerid",
            "customerno",
            "clientid",
        )
    ),
}
_OPT_IN_WORDS = headings.OPT_IN | {"optinemail", "abonne", "optinmail"}
_STATUS_WORDS = headings.STATUS


class Field(msgspec.Struct, frozen=True):
    """A field that contacts of the tenant have. `number` is its own, `slot` its place among those of its kind, both 0
    of what is a column of every contact; `choices`: its words, of the kinds that have some, and the number of each.
    `is_open`: it takes words that it does not have yet."""

    name: str
    kind: Kind
    label: str = ""
    number: int = 0
    slot: int = 0
    choices: Mapping[str, int] = {}
    is_open: bool = False


#: What every contact has besides the fields of its tenant.
COLUMNS = (
    Field("email", "address", "E-mail"),
    Field("mobile", "phone", "Mobile"),
    Field("telephone", "phone", "Telephone"),
)


def of_tenant(fields: Iterable[kinds.Field]) -> list[Field]:
    """What columns of a file may be, by the fields of a tenant."""
    return [
        *COLUMNS,
        *(
            Field(one.name, one.kind, one.label, one.number, one.slot, one.choices, one.built_in and one.name == TAGS)
            for one in fields
        ),
    ]


class Place(NamedTuple):
    """A column that is a field."""

    at: int
    field: Field


class Columns(NamedTuple):
    """What the columns of a file are. `key` is among `fields`; `unmapped` are headings that are nobody's; `opt_in` and
    `status` the places of these, None where the file has none."""

    width: int
    key: Place
    fields: tuple[Place, ...]
    opt_in: int | None = None
    status: int | None = None
    unmapped: tuple[str, ...] = ()


class Fields:
    """The fields of a tenant, and which of them is the key."""

    def __init__(self, fields: Iterable[Field], key: str) -> None:
        self._by_name = {field.name: field for field in fields}
        self.key = self._by_name[key]
        #: The first that says a word has it: a name before a label, and that before what others call it.
        self._by_word: dict[str, str] = {}
        for words in (
            [(field.name, bare(field.name)) for field in self._by_name.values()],
            [(field.name, bare(field.label)) for field in self._by_name.values() if field.label],
            [(name, word) for name, known in WORDS.items() if name in self._by_name for word in sorted(known)],
            [(role, word) for role, known in ((OPT_IN, _OPT_IN_WORDS), (STATUS, _STATUS_WORDS)) for word in known],
            [(role, bare(role)) for role in (OPT_IN, STATUS)],
        ):
            for name, word in words:
                self._by_word.setdefault(word, name)

    def get(self, name: str) -> Field | None:
        return self._by_name.get(name)

    def names(self) -> list[str]:
        return [*self._by_name, OPT_IN, STATUS]

    def guessed(self, heading: str) -> str | None:
        """What a heading is, None if nobody knows."""
        return self._by_word.get(bare(heading))


def bare(name: str) -> str:
    """What counts of a heading: letters and digits, without case and accents."""
    return "".join(char for char in unicodedata.normalize("NFKD", plain(name)) if not unicodedata.combining(char))


def columns(names: Sequence[str], fields: Fields, mapping: Mapping[str, str | None] | None = None) -> Columns:
    """What the columns with these headings are. `mapping`: by heading the name of a field, `OPT_IN` or `STATUS`, None
    for nothing; None: it is guessed. NoHeading."""
    names = [name.strip(AROUND) for name in names]
    found = _guessed(names, fields) if mapping is None else _asked(names, fields, mapping)
    places: dict[str, int] = {}
    for index, name in enumerate(found):
        if name is None:
            continue
        if name in places:
            raise NoHeading(f"two columns are {name!r}: {shown((names[places[name]], names[index]))}; map one of them")
        places[name] = index
    if fields.key.name not in places:
        what = f"no column is the key, {fields.key.name!r}; the heading has {shown(names)}"
        raise NoHeading(what + headings.no_heading(names))
    known = tuple(Place(index, field) for name, index in places.items() if (field := fields.get(name)) is not None)
    return Columns(
        len(names),
        Place(places[fields.key.name], fields.key),
        known,
        places.get(OPT_IN),
        places.get(STATUS),
        tuple(name for name, what in zip(names, found, strict=True) if what is None and name),
    )


def _guessed(names: Sequence[str], fields: Fields) -> list[str | None]:
    return [fields.guessed(name) for name in names]


def _asked(names: Sequence[str], fields: Fields, mapping: Mapping[str, str | None]) -> list[str | None]:
    found: list[str | None] = [None] * len(names)
    for heading, target in mapping.items():
        wanted = heading.strip(AROUND)
        exact = [index for index, name in enumerate(names) if name == wanted]
        places = exact or [index for index, name in enumerate(names) if bare(name) == bare(wanted)]
        if not places:
            raise NoHeading(f"the heading has no column {shown([heading])}; it has {shown(names)}")
        if target is None:
            continue
        if len(places) > 1:
            raise NoHeading(f"the heading has {shown([heading])} more than once: which of them is {target!r}?")
        if target not in fields.names():
            raise NoHeading(f"there is no field {shown([target])}; there are {shown(fields.names())}")
        found[places[0]] = target
    return found
