"""Changing the meter key without ever falling silent: which key seals, which keys open."""

# A sealed command brings the new key, which is stored as pending. Its result still goes under the
# old key; with the receipt of that result, or after a restart, the meter seals under the new key.
# The first frame that the gateway seals under the new key proves that it has it: the old key is
# dropped. Until then frames of both are opened, and when UNHEARD_TO_SWITCH frames in a row
# bring no receipt the meter tries the other key, to and fro: one of the two is the gateway's.

from wire.errors import UnknownEpoch
from wire.keys import EpochKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.keystore import Keystore

UNHEARD_TO_SWITCH = 8  # frames in a row


class Rekey:
    """The meter's keys as EpochKeys, and the steps from an old one to a new one."""

    def __init__(self, settings, keystore: "Keystore") -> None:
        self._settings = settings
        self._keystore = keystore
        self._made: dict[int, EpochKey] = {}
        self.begin()

    def sealing(self) -> EpochKey:
        """The key to seal with now."""
        return self.opening(self._keystore.key_epoch)

    def opening(self, key_epoch: int) -> EpochKey:
        """The key that opens frames of this epoch. Raises UnknownEpoch."""
        key = self._settings.key_of(key_epoch)
        if key is None:
            raise UnknownEpoch("no key of key epoch " + str(key_epoch) + " is in force")
        if key_epoch not in self._made:
            self._made[key_epoch] = EpochKey(key_epoch, key)
        return self._made[key_epoch]

    def under_way(self) -> bool:
        """True while both keys are in force."""
        return self._settings.pending is not None

    def begin(self) -> bool:
        """Seal under the pending key, if there is one. True when that is a change."""
        pending = self._settings.pending
        if pending is None or pending[0] == self._keystore.key_epoch:
            return False
        self._keystore.switch(pending[0])
        return True

    def opened(self, key_epoch: int) -> bool:
        """A frame of this epoch was opened, which may end a rekey. True: another key seals now.

        The settings first: a keystore without the old epoch and settings without the new one would
        leave the meter without any key.
        """
        pending = self._settings.pending
        if pending is None or key_epoch != pending[0]:
            return False
        changed = self.begin()
        self._made.pop(self._settings.key_epoch, None)
        self._settings.finish_rekey()
        self._keystore.retire()
        return changed

    def unheard(self, frames: int) -> bool:
        """So many frames in a row brought no receipt. True when the other key is tried now."""
        if self._settings.pending is None or frames < UNHEARD_TO_SWITCH:
            return False
        if not self.begin():
            self._keystore.switch(self._settings.key_epoch)
        return True
