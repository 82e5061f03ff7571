"""The keys that a device trusts (agent/trust.py), and the signature that a bundle needs there before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from device_agents.agent import trust
from device_agents.agent.trust import CANARIES, FILE, FOLDER, REFUSED, SIGNATURE, Key
from device_agents.bundle import Bundle
from device_agents.errors import AgentFailed, DeviceError
from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.farm.prepare import Ask

Signer = Callable[[bytes], "bytes | None"]
"""From a bundle manifest's canonical bytes to the content of its bundle.sig; None where there is no key."""


class BundleNotTrusted(DeviceError):
    """A device trusts keys, and none of them has signed the bundle that it shall load."""


class KeysDamaged(DeviceError):
    """The file of trusted keys on a device can't be read: it takes no bundle at all."""


class NoTrustThere(DeviceError):
    """A phone by adb has no Python that could check a signature."""


class Trust:
    """What one connected device trusts. `any`: whether it trusts keys at all, damaged ones too."""

    def __init__(self, device: str, root: str, trusts: bool, ask: Ask, sign: Signer | None) -> None:
        """trusts: as it said when it was opened; sign: makes signatures where a bundle brings none."""
        self._device = HOST if device == STAND_IN else device
        self._root = root
        self.any = trusts
        self._ask = ask
        self._sign = sign
        self._known: dict[str, Key] | None = None

    def keys(self) -> dict[str, Key] | None:
        """By keyid; None where it trusts none and takes every bundle. Raises KeysDamaged."""
        if self.any and self._known is None:
            self._told()
        return self._known

    def add(self, line: str) -> None:
        """Trusts one key more; from then on nothing else is loaded there. Raises KeysDamaged."""
        self._told("--add", line)

    def forget(self, then: str = "") -> None:
        """Trusts no key any longer; then: but this one, so that a cut link leaves no device open in between."""
        self._told("--none", *(["--add", then] if then else []))

    def signature(self, bundle: Bundle) -> bytes | None:
        """The bundle.sig to send with a bundle: the one in its folder, else one made by the user's key.

        None where the device wants none. Raises BundleNotTrusted, KeysDamaged, and what the signer raises.
        """
        trusted = self.keys()
        if trusted is None or bundle.manifest.sha256 in CANARIES:
            return None
        manifest, why = bundle.manifest.canonical(), ""
        for made in (_beside, self._made):
            found = made(bundle)
            try:
                trust.judge(trusted, manifest, found)
            except trust.BundleNotTrusted as refused:
                why = why if found is None and why else str(refused)
            else:
                return found
        raise self._refused(why)

    def _made(self, bundle: Bundle) -> bytes | None:
        return self._sign(bundle.manifest.canonical()) if self._sign is not None else None

    def _told(self, *asked: str) -> None:
        try:
            found = self._ask("trust", "--root", self._root, *asked)["keys"]
        except AgentFailed as failed:
            raise KeysDamaged(
                failed.what,
                where=f"{self._root}/{FOLDER}/{FILE}",
                remedy=f"./inv devices.setup {self._device} --trust-no-key, then --trust-key FILE again",
            ) from failed
        self._known = None if found is None else {trust.keyid(key[0]): key for key in map(_parsed, found) if key}
        self.any = found is not None

    def _refused(self, why: str) -> BundleNotTrusted:
        return BundleNotTrusted(
            f"{self._device} loads only what a key that it trusts has signed, and not this bundle: {why}.",
            where=f"{self._root}/{FOLDER}/{FILE}: {'; '.join(shown(self._known or {})) or 'no key'}",
            remedy=f"sign with one of these (EDGEWRIGHT_KEY=FILE), or ./inv devices.setup {self._device} --trust-key "
            "FILE.pub with your key's (./inv release.key makes one)",
        )


def shown(keys: Mapping[str, Key]) -> list[str]:
    """Keys as a person reads them: the beginning of the keyid, and the comment."""
    return [f"{keyid[:16]} {comment}".rstrip() for keyid, (_, comment) in keys.items()]


def refused_there(device: str, error: str) -> BundleNotTrusted | None:
    """The agent's own refusal, where that is what a variant's error says."""
    if not error.startswith(REFUSED):
        return None
    what, _, remedy = error.partition(" (next: ")
    return BundleNotTrusted(f"{device}: {what.partition(': ')[2]}.", remedy=remedy.removesuffix(")"))


def _beside(bundle: Bundle) -> bytes | None:
    with suppress(FileNotFoundError):
        return (bundle.folder / SIGNATURE).read_bytes()
    return None


def _parsed(line: str) -> Key | None:
    # What a device says is only as good as the device: a line that is no key is none.
    with suppress(ValueError):
        return trust.parsed(line)
    return None
