"""What a model is called in apps: identifiers of Java, Maven and Swift out of a recipe's and a target's file names."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from pipeline.release.about import GROUP
from pipeline.release.packages.errors import NoIdentifier

_GROUP = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
# The Java Language Specification, 3.9, and its three literals.
_RESERVED = """
    abstract assert boolean break byte case catch char class const continue default do double else enum extends final
    finally float for goto if implements import instanceof int interface long native new package private protected
    public return short static strictfp super switch synchronized this throw throws transient try void volatile while
    true false null
"""
_KEYWORDS = frozenset(_RESERVED.split())


@dataclass(frozen=True)
class Identifiers:
    """artifact: Maven's, with the target ("resnet8-android"); asset: the stem of the model's files ("resnet8"); type:
    the wrapper's class ("Resnet8Model"); package: its package in Java ("edgewright.models.resnet8")."""

    group: str
    artifact: str
    asset: str
    type: str
    package: str

    @property
    def module(self) -> str:
        """Swift's: "Resnet8", since a module and a type of one name get in each other's way."""
        return self.type.removesuffix("Model")


def identifiers(model: str, target: str, group: str = GROUP) -> Identifiers:
    """Raises NoIdentifier where nothing of a name can stand in an identifier, or the group is no Java package."""
    if not _GROUP.fullmatch(group) or _KEYWORDS & set(group.split(".")):
        raise NoIdentifier(
            f"{group!r} is no name of a Java package",
            where="group, in the recipe's table [about]",
            remedy='write group = "com.example.models" there: small letters, digits and _, with dots between',
        )
    words = _words(model)
    segment = "_".join(words).lower()
    if segment in _KEYWORDS or segment[0].isdigit():
        segment = f"model_{segment}"
    name = "".join(word[0].upper() + word[1:] for word in words) + "Model"
    return Identifiers(
        group=group,
        artifact="-".join([*words, *_words(target)]),
        asset="-".join(words),
        type=f"Model{name}" if name[0].isdigit() else name,
        package=f"{group}.{segment}",
    )


def _words(name: str) -> list[str]:
    """Runs of ASCII letters and digits; accents are left out."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain)
    if not words:
        raise NoIdentifier(
            f"Nothing of the name {name!r} can stand in an identifier",
            where="the release's packages",
            remedy="give the recipe's or the target's file a name with a letter of a to z in it",
        )
    return words
