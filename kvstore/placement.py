"""Which device reduces which key: the one with the fewest bytes so far, so that work and memory spread evenly."""
import torch


class Placement:
    """Assigns each key to a device, greedily by bytes."""

    def __init__(self) -> None:
        self._device: dict[int | str, torch.device] = {}
        self._load_bytes: dict[torch.device, int] = {}

    def device(self, key: int | str, devices: list[torch.device], num_bytes: int) -> torch.device:
        """The device that reduces `key`, chosen among `devices` at the first call and kept from then on."""
        if key not in self._device:
            choice = min(devices, key=lambda device: self._load_bytes.get(device, 0))
            self._load_bytes[choice] = self._load_bytes.get(choice, 0) + num_bytes
            self._device[key] = choice
        return self._device[key]
