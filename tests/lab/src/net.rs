//! Network cards for guests: ports of dom0's bridge `xenbr0`, attached by `xl`, looked at from dom0.
//!
//! On the bridge, dom0 is 10.0.0.1 and fd00::1, and there is nobody else but the guests.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::guest::Guest;
use crate::host::Dom0;

/// Where Linux lets go of backends, and takes them up again.
const DRIVER: &str = "/sys/bus/xen-backend/drivers/vif";
/// xl gives a guest ten seconds to let go of a card.
const DETACH_TIMEOUT: Duration = Duration::from_secs(30);

/// The bridge with nobody on it but guests and dom0.
pub(crate) const GUESTS: &str = "xenbr0";
/// The bridge to QEMU's network. There, DHCP gives the first who asks [`FORWARDED`], and 10.0.2.2 is this machine.
pub(crate) const OUTSIDE: &str = "xenbr1";
/// Where QEMU forwards ports to.
const FORWARDED: &str = "10.0.2.15";

/// A network card to be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VifWish {
    /// The last byte of its hardware address, which no other card of this dom0 has.
    pub number: u8,
    /// The bridge's own, if none is given.
    pub mtu: Option<u32>,
    /// The bridge in dom0: `xenbr0`, or `xenbr1` on QEMU's network.
    pub bridge: &'static str,
    /// More of xl-network-configuration(5), with a comma before each item (`,trusted=0`).
    pub more: String,
}

impl VifWish {
    /// One without wishes.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self { number, mtu: None, bridge: GUESTS, more: String::new() }
    }

    /// One on QEMU's network, to which ports of this machine can be [forwarded](Dom0::forward).
    #[must_use]
    pub fn outside(number: u8) -> Self {
        Self { bridge: OUTSIDE, ..Self::new(number) }
    }

    /// Its hardware address, in Xen's range.
    #[must_use]
    pub fn mac(&self) -> String {
        format!("00:16:3e:00:00:{:02x}", self.number)
    }

    /// The card as an item of xl.cfg(5)'s `vif`.
    #[must_use]
    pub fn spec(&self) -> String {
        let mtu = self.mtu.map(|mtu| format!(",mtu={mtu}")).unwrap_or_default();
        format!("mac={},bridge={}{mtu}{}", self.mac(), self.bridge, self.more)
    }
}

/// The command line's way to give a guest the address of this number, 10.0.0.N, and tell it of dom0: the same for
/// images and for the lab's Linux, which takes fd00::N as well.
#[must_use]
pub fn address(number: u8) -> String {
    format!("ip=10.0.0.{number}/24 gw=10.0.0.1")
}

/// A port of this machine that leads to one of a guest: `8080:80`, or `udp:5300:53`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    is_udp: bool,
    host: u16,
    guest: u16,
}

impl std::str::FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_udp, ports) = match text.split_once(':') {
            Some(("udp", ports)) => (true, ports),
            Some(("tcp", ports)) => (false, ports),
            _ => (false, text),
        };
        let parsed = ports.split_once(':').and_then(|(host, guest)| {
            let (host, guest) = (host.parse().ok()?, guest.parse().ok()?);
            (host > 0 && guest > 0).then_some(Self { is_udp, host, guest })
        });
        parsed.ok_or_else(|| format!("{text} is not HOST:GUEST or udp:HOST:GUEST, with port numbers"))
    }
}

impl std::fmt::Display for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { is_udp, host, guest } = self;
        write!(f, "127.0.0.1:{host}/{} leads to port {guest}", if *is_udp { "udp" } else { "tcp" })
    }
}

impl Dom0 {
    /// Has a port of this machine lead to the guest that is alone on QEMU's network.
    pub fn forward(&self, forward: Forward) -> Result<()> {
        let Forward { is_udp, host, guest } = forward;
        let protocol = if is_udp { "udp" } else { "tcp" };
        let line = format!("hostfwd_add net {protocol}:127.0.0.1:{host}-{FORWARDED}:{guest}");
        let said = self.monitor(&line)?;
        ensure!(said.trim().is_empty(), "port {host} of this machine cannot be had: {}", said.trim());
        Ok(())
    }
}

/// A network card of a guest, as Xenstore names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vif {
    /// The guest.
    pub domain: u16,
    /// The number of the card, from 0.
    pub device: u32,
}

impl Vif {
    /// The guest's first card.
    #[must_use]
    pub fn new(guest: &Guest) -> Self {
        Self { domain: guest.domain, device: 0 }
    }

    /// The backend's directory.
    #[must_use]
    pub fn backend(&self) -> String {
        format!("/local/domain/0/backend/vif/{}/{}", self.domain, self.device)
    }

    /// The frontend's directory.
    #[must_use]
    pub fn frontend(&self) -> String {
        format!("/local/domain/{}/device/vif/{}", self.domain, self.device)
    }

    /// The interface in dom0.
    #[must_use]
    pub fn interface(&self) -> String {
        format!("vif{}.{}", self.domain, self.device)
    }

    /// What dom0's shell does to give its backend back after [`Dom0::unbind_vif`].
    #[must_use]
    pub fn bind_script(&self) -> String {
        let (device, backend, interface) = (self.on_bus(), self.backend(), self.interface());
        format!(
            "echo {device} >{DRIVER}/bind\n\
             n=500; until [ -e /sys/class/net/{interface} ]; do\n\
             n=$((n - 1)); [ $n -gt 0 ] || exit 1; usleep 10000; done\n\
             vif={interface} XENBUS_PATH={backend} /etc/xen/scripts/vif-bridge online"
        )
    }

    /// Its name on Linux's bus.
    fn on_bus(&self) -> String {
        format!("vif-{}-{}", self.domain, self.device)
    }
}

impl Dom0 {
    /// `xl network-attach`: gives a running guest a network card.
    pub fn attach_vif(&self, guest: &str, wish: &VifWish) -> Result<()> {
        // Its arguments are the items of the configuration.
        let spec = wish.spec().replace(',', " ");
        self.sh(&format!("xl network-attach {guest} {spec}")).map(drop)
    }

    /// `xl network-detach`: asks the guest to let go, and fails if it does not within ten seconds.
    pub fn detach_vif(&self, guest: &str, device: u32) -> Result<()> {
        let output = self.run(&format!("xl network-detach {guest} {device}"), DETACH_TIMEOUT)?;
        ensure!(output.code == 0, "{guest} keeps its card {device}: {}", output.text());
        Ok(())
    }

    /// Takes the backend's driver away, as when its module is removed. Its state in Xenstore stays what it was.
    pub fn unbind_vif(&self, vif: Vif) -> Result<()> {
        // Or the next one would not wait until its interface is in the bridge.
        let status = format!("{}/hotplug-status", vif.backend());
        self.sh(&format!("echo {} >{DRIVER}/unbind; xenstore-rm {status}", vif.on_bus())).map(drop)
    }

    /// Gives it back: the backend starts over, in `InitWait`. xl, which ran the hotplug script when it made the
    /// domain, does not do so again.
    pub fn bind_vif(&self, vif: Vif) -> Result<()> {
        self.sh(&vif.bind_script()).map(drop)
    }

    /// The link of the guest's card as the backend has it: `ip link set`.
    pub fn set_link(&self, vif: Vif, up: bool) -> Result<()> {
        self.sh(&format!("ip link set {} {}", vif.interface(), if up { "up" } else { "down" })).map(drop)
    }

    /// Waits until the guest has sent so many packets more, or if it is fewer by then, since the backend is new, so many
    /// in all.
    pub fn wait_for_packets(&self, vif: Vif, packets: u64, timeout: Duration) -> Result<()> {
        let file = format!("/sys/class/net/{}/statistics/rx_packets", vif.interface());
        let script = format!(
            "at() {{ cat {file} 2>/dev/null || echo 0; }}; from=$(at); n={}\n\
             until now=$(at); [ $now -ge $((from + {packets})) ]; do\n\
             [ $now -ge $from ] || from=0\n\
             n=$((n - 1)); [ $n -gt 0 ] || {{ echo $((now - from)); exit 1; }}; usleep 10000\ndone",
            timeout.as_millis() / 10 + 1
        );
        let output = self.run(&script, timeout * 4 + DETACH_TIMEOUT)?;
        ensure!(output.code == 0, "the guest sent only {} packets", output.text().trim());
        Ok(())
    }

    /// One of the numbers that Linux counts of the backend's interface (`rx_packets`, which are those that the guest
    /// sent, `tx_dropped`).
    pub fn vif_statistic(&self, vif: Vif, name: &str) -> Result<u64> {
        let number = self.sh(&format!("cat /sys/class/net/{}/statistics/{name}", vif.interface()))?;
        number.trim().parse().with_context(|| format!("{name} is {number:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_described_as_xl_wants_them() {
        assert_eq!(VifWish::new(2).spec(), "mac=00:16:3e:00:00:02,bridge=xenbr0");
        let wish = VifWish { mtu: Some(9000), more: ",trusted=0".to_owned(), ..VifWish::new(255) };
        assert_eq!(wish.spec(), "mac=00:16:3e:00:00:ff,bridge=xenbr0,mtu=9000,trusted=0");
        let vif = Vif { domain: 3, device: 1 };
        assert_eq!((vif.interface(), vif.on_bus()), ("vif3.1".to_owned(), "vif-3-1".to_owned()));
    }
}
