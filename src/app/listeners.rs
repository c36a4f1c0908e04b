//! The addresses for Kafka clients, as they are configured.

use super::failure::Failure;
use super::settings::{ListenerSettings, Settings};
use super::values::{Address, Text};
use crate::security::Mechanism;
use crate::security::tls::{ClientAuth, TlsFiles};
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

/// An address for Kafka clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub name: String,
    pub address: Address,
    /// What clients are told to connect to; nothing means the address they came to.
    pub advertised: Option<Address>,
    /// Empty: everyone is `User:ANONYMOUS`, or who the certificate says.
    pub sasl: Vec<Mechanism>,
    /// None: it is plaintext.
    pub tls: Option<TlsFiles>,
}

impl Listener {
    /// As Kafka names what is spoken on it.
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, self.sasl.is_empty()) {
            (None, true) => "PLAINTEXT",
            (None, false) => "SASL_PLAINTEXT",
            (Some(_), true) => "SSL",
            (Some(_), false) => "SASL_SSL",
        }
    }

    /// Whether whoever connects is let in.
    fn is_open(&self) -> bool {
        let certified = self
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some() && tls.client_auth == ClientAuth::Required);
        self.sasl.is_empty() && !certified
    }

    /// What is allowed and yet worth a second thought.
    pub fn warn(&self, warnings: &mut Vec<String>) {
        let Listener { name, address, advertised, .. } = self;
        if address.is_loopback() {
            return;
        }
        if self.is_open() {
            warnings.push(format!(
                "listener `{name}` at {address} can be reached from other machines and asks for no \
                 authentication: whoever connects is User:ANONYMOUS; set `sasl` or `tls_client_ca` to change that"
            ));
        } else if self.tls.is_none() && self.sasl.contains(&Mechanism::Plain) {
            warnings.push(format!(
                "listener `{name}` at {address} can be reached from other machines and offers PLAIN: \
                 passwords cross the network unencrypted; set `tls_certificate` to change that"
            ));
        }
        if advertised.as_ref().is_some_and(Address::is_loopback) {
            warnings.push(format!(
                "listener `{name}` tells clients to connect to its advertised loopback address: clients on \
                 other machines will reach themselves"
            ));
        }
    }
}

/// The `listen` form, or the `[[listener]]` form; mixing them would leave open which one a flag speaks of.
pub fn listeners(settings: &Settings) -> Result<Vec<Listener>, Failure> {
    let mechanisms = |m: &Option<super::values::Mechanisms>| m.clone().map(|m| m.0).unwrap_or_default();
    let listeners = match &settings.listener {
        None => vec![Listener {
            name: "default".into(),
            address: settings.listen.clone().map_or_else(|| Address::new("127.0.0.1", 9092), |t| t.0),
            advertised: settings.advertised.clone().map(|t| t.0),
            sasl: mechanisms(&settings.sasl),
            tls: tls("", "", Written::of(settings))?,
        }],
        Some(list) => {
            let simple = [
                ("listen", settings.listen.is_some()),
                ("advertised", settings.advertised.is_some()),
                ("sasl", settings.sasl.is_some()),
                ("tls_certificate", settings.tls_certificate.is_some()),
                ("tls_key", settings.tls_key.is_some()),
                ("tls_client_ca", settings.tls_client_ca.is_some()),
                ("tls_client_auth", settings.tls_client_auth.is_some()),
            ];
            if let Some((key, _)) = simple.into_iter().find(|(_, is_set)| *is_set) {
                return Err(Failure::usage(format!(
                    "`{key}` and [[listener]] cannot both be given: write it into the listener it is meant for"
                )));
            }
            let one = |listener: &ListenerSettings| {
                let whose = format!("listener `{}`: ", listener.name);
                let written = Written {
                    certificate: &listener.tls_certificate,
                    key: &listener.tls_key,
                    client_ca: &listener.tls_client_ca,
                    client_auth: listener.tls_client_auth,
                };
                Ok(Listener {
                    name: listener.name.clone(),
                    address: listener.address.0.clone(),
                    advertised: listener.advertised.clone().map(|t| t.0),
                    sasl: mechanisms(&listener.sasl),
                    tls: tls(&whose, "", written)?,
                })
            };
            list.iter().map(one).collect::<Result<_, Failure>>()?
        }
    };
    if listeners.is_empty() {
        return Err(Failure::usage("there is no listener"));
    }
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for Listener { name, address, advertised, .. } in &listeners {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return Err(Failure::usage(format!(
                "listener {name:?}: a name is 1 to 64 letters, digits, `-`, `_` and `.`"
            )));
        }
        if !names.insert(name) {
            return Err(Failure::usage(format!("two listeners are named `{name}`")));
        }
        if address.port != 0 && !addresses.insert(address) {
            return Err(Failure::usage(format!("two listeners have the address {address}")));
        }
        if let Some(advertised) = advertised
            && (advertised.is_unspecified() || advertised.port == 0)
        {
            return Err(Failure::usage(format!(
                "listener `{name}`: clients cannot connect to the advertised address {advertised}"
            )));
        }
        if let Ok(IpAddr::V4(ip)) = address.host.parse()
            && ip.is_broadcast()
        {
            return Err(Failure::usage(format!("listener `{name}`: {address} cannot be listened on")));
        }
    }
    Ok(listeners)
}

/// What is written of TLS.
struct Written<'a> {
    certificate: &'a Option<PathBuf>,
    key: &'a Option<PathBuf>,
    client_ca: &'a Option<PathBuf>,
    client_auth: Option<Text<ClientAuth>>,
}

impl Written<'_> {
    fn of(settings: &Settings) -> Written<'_> {
        Written {
            certificate: &settings.tls_certificate,
            key: &settings.tls_key,
            client_ca: &settings.tls_client_ca,
            client_auth: settings.tls_client_auth,
        }
    }
}

/// TLS of the admin address.
pub fn admin_tls(settings: &Settings) -> Result<Option<TlsFiles>, Failure> {
    let written = Written {
        certificate: &settings.admin_tls_certificate,
        key: &settings.admin_tls_key,
        client_ca: &settings.admin_tls_client_ca,
        client_auth: None,
    };
    tls("", "admin_", written)
}

/// TLS of a listener. What has no meaning without something else is refused: who writes it believes to be protected.
fn tls(whose: &str, prefix: &str, written: Written<'_>) -> Result<Option<TlsFiles>, Failure> {
    let Written { certificate, key, client_ca, client_auth } = written;
    if client_auth.is_some() && client_ca.is_none() {
        return Err(Failure::usage(format!(
            "{whose}`{prefix}tls_client_auth` says nothing without `{prefix}tls_client_ca`"
        )));
    }
    let Some(certificate) = certificate else {
        let given = [("tls_key", key.is_some()), ("tls_client_ca", client_ca.is_some())];
        return match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(Failure::usage(format!(
                "{whose}`{prefix}{name}` says nothing without `{prefix}tls_certificate`"
            ))),
            None => Ok(None),
        };
    };
    Ok(Some(TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: client_ca.clone(),
        client_auth: client_auth.map_or(ClientAuth::Required, |t| t.0),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::sources;
    use super::*;
    use std::path::Path;

    fn of(file: &str) -> Result<Vec<Listener>, Failure> {
        listeners(&sources::from_file(Path::new("tollgate.toml"), file)?)
    }

    #[test]
    fn tls_is_of_each_listener() {
        let both = of("[[listener]]\nname = \"a\"\naddress = \"h:1\"\n\
                       [[listener]]\nname = \"b\"\naddress = \"h:2\"\nsasl = \"PLAIN\"\ntls_certificate = \"c\"\ntls_key = \"k\"\n\
                       tls_client_ca = \"ca\"\ntls_client_auth = \"requested\"")
        .unwrap();
        assert_eq!(both[0].tls, None);
        let tls = both[1].tls.as_ref().unwrap();
        assert_eq!((tls.certificate.as_path(), tls.key.as_deref()), (Path::new("c"), Some(Path::new("k"))));
        assert_eq!(
            (tls.client_ca.as_deref(), tls.client_auth),
            (Some(Path::new("ca")), ClientAuth::Requested)
        );
        assert_eq!(both.iter().map(Listener::protocol).collect::<Vec<_>>(), ["PLAINTEXT", "SASL_SSL"]);
        let one = of("tls_certificate = \"c\"").unwrap();
        assert_eq!(one[0].protocol(), "SSL");
        assert_eq!(one[0].tls.as_ref().unwrap().client_auth, ClientAuth::Required);
    }

    #[test]
    fn half_of_tls_is_refused() {
        for (file, says) in [
            ("tls_key = \"k\"", "`tls_key` says nothing without `tls_certificate`"),
            ("tls_client_ca = \"k\"", "`tls_client_ca` says nothing without `tls_certificate`"),
            ("tls_client_auth = \"requested\"", "`tls_client_auth` says nothing without `tls_client_ca`"),
            ("tls_client_auth = \"none\"", "`tls_client_auth`: required, or requested"),
            (
                "[[listener]]\nname = \"a\"\naddress = \"h:1\"\ntls_key = \"k\"",
                "listener `a`: `tls_key` says nothing without",
            ),
            (
                "tls_key = \"k\"\n[[listener]]\nname = \"a\"\naddress = \"h:1\"",
                "`tls_key` and [[listener]] cannot both be given",
            ),
        ] {
            let said = of(file).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_listener_that_asks_for_certificates_is_not_open() {
        let warned = |file: &str| {
            let mut warnings = Vec::new();
            of(&format!("listen = \"0.0.0.0:1\"\n{file}")).unwrap()[0].warn(&mut warnings);
            warnings.join("\n")
        };
        let tls = "tls_certificate = \"c\"\n";
        assert!(warned(tls).contains("asks for no authentication"));
        assert!(
            warned(&format!("{tls}tls_client_ca = \"c\"\ntls_client_auth = \"requested\""))
                .contains("asks for no")
        );
        assert_eq!(warned(&format!("{tls}tls_client_ca = \"c\"")), "");
        assert_eq!(warned(&format!("{tls}sasl = \"PLAIN\"")), "");
        assert!(warned("sasl = \"PLAIN\"").contains("unencrypted"));
    }
}
