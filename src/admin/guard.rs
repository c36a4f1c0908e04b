//! Who may make changes.
//!
//! - On a loopback address without tokens: whoever reaches it. A web page does not: it may have a browser send requests there,
//!   but the browser then names the page's host (DNS rebinding) or its origin, and neither is ours.
//! - With tokens: who shows one (`Authorization: Bearer …`), on loopback as elsewhere. A browser shows none by itself.
//! - Without tokens, where clients must show certificates (mutual TLS): who has one, which is everybody who gets this far.
//! - On any other address without tokens: nobody. Reading stays possible there, as it was before changes were.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::control::{Problem, Tokens};

/// What is asked of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Anybody who reaches the address may see this.
    Open,
    /// Scripts are shown to those who may change them.
    Scripts,
    Change,
}

/// What is known of who asks.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub headers: &'a HeaderMap,
    /// The principal of its certificate, where clients have to show one.
    pub certified: Option<&'a str>,
    /// `http` or `https`.
    pub scheme: &'a str,
}

/// The name of who asks, where there are no tokens.
const ANYBODY: &str = "loopback";

/// Whether a request may pass, and in whose name.
pub(super) fn admit(
    guard: Guard,
    asking: Asking<'_>,
    is_loopback: bool,
    tokens: Option<&dyn Tokens>,
) -> Result<String, Problem> {
    let Asking { headers, certified, scheme } = asking;
    if is_loopback && !is_local(headers) {
        return Err(Problem::new(403, "host", "ask for localhost or a loopback address by name"));
    }
    if guard == Guard::Open {
        return Ok(ANYBODY.to_owned());
    }
    if guard == Guard::Change && is_from_a_page(headers, scheme) {
        return Err(Problem::new(403, "origin", "a page of another origin may change nothing here"));
    }
    match (tokens, certified) {
        (None, Some(name)) => Ok(name.to_owned()),
        (None, None) if is_loopback => Ok(ANYBODY.to_owned()),
        (None, None) => Err(Problem::new(
            403,
            "no_token",
            "on an address that other machines reach this needs a token: set `admin_token_file` or \
             TOLLGATE_ADMIN_TOKEN, let clients show certificates with `admin_tls_client_ca`, or use a loopback address",
        )),
        (Some(tokens), _) => bearer(headers)
            .and_then(|token| tokens.name_of(token))
            .ok_or_else(|| Problem::new(401, "token", "this needs a token: Authorization: Bearer TOKEN")),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Browsers say where a request comes from whenever it could do harm. `null` is an origin too.
fn is_from_a_page(headers: &HeaderMap, scheme: &str) -> bool {
    let own = |origin: &[u8]| {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let rest = origin.strip_prefix(scheme.as_bytes()).and_then(|rest| rest.strip_prefix(b"://"));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_bytes()))
    };
    let said = |site: &[u8]| site == b"same-origin" || site == b"none";
    headers.get_all(header::ORIGIN).iter().any(|origin| !own(origin.as_bytes()))
        || headers.get_all("sec-fetch-site").iter().any(|site| !said(site.as_bytes()))
}

/// DNS rebinding: a web page whose name was made to resolve to 127.0.0.1 can have a browser ask us, but the
/// browser then names the page's host. On loopback only loopback's own names are answered.
pub(super) fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(names_loopback),
        _ => false,
    }
}

/// Whether a Host header, with or without a port, names this machine's loopback.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    struct One;

    impl Tokens for One {
        fn name_of(&self, token: &[u8]) -> Option<String> {
            (token == b"secret").then(|| "ci".to_owned())
        }
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(pair).collect()
    }

    fn plain(headers: &HeaderMap) -> Asking<'_> {
        Asking { headers, certified: None, scheme: "http" }
    }

    fn asked(list: &[(&'static str, &'static str)], loopback: bool, tokens: bool) -> Result<String, u16> {
        let tokens = tokens.then_some(&One as &dyn Tokens);
        admit(Guard::Change, plain(&headers(list)), loopback, tokens).map_err(|problem| problem.status)
    }

    #[test]
    fn who_may_change() {
        let host = ("host", "localhost:9644");
        assert_eq!(asked(&[host], true, false), Ok("loopback".into()));
        assert_eq!(asked(&[host], false, false), Err(403));
        let token = |value| [host, ("authorization", value)];
        for loopback in [true, false] {
            assert_eq!(asked(&[host], loopback, true), Err(401));
            assert_eq!(asked(&token("Bearer secret"), loopback, true), Ok("ci".into()));
            assert_eq!(asked(&token("bearer  secret "), loopback, true), Ok("ci".into()));
            for wrong in ["Bearer other", "Bearer", "Bearer ", "secret", "Basic secret", ""] {
                assert_eq!(asked(&token(wrong), loopback, true), Err(401), "{wrong}");
            }
        }
        let mut two = headers(&token("Bearer secret"));
        two.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert!(admit(Guard::Change, plain(&two), true, Some(&One)).is_err());
        let scripts = |tokens| admit(Guard::Scripts, plain(&headers(&[host])), false, tokens).is_ok();
        assert!(!scripts(None) && !scripts(Some(&One)));
        assert!(admit(Guard::Open, plain(&headers(&[host])), false, Some(&One)).is_ok());
    }

    #[test]
    fn a_certificate_does_where_there_are_no_tokens() {
        let sent = headers(&[("host", "gate.example:9644"), ("origin", "https://gate.example:9644")]);
        let asking = Asking { headers: &sent, certified: Some("User:CN=ci"), scheme: "https" };
        assert_eq!(admit(Guard::Change, asking, false, None).unwrap(), "User:CN=ci");
        assert_eq!(admit(Guard::Change, asking, false, Some(&One)).unwrap_err().status, 401);
        let plain = Asking { scheme: "http", ..asking };
        assert_eq!(admit(Guard::Change, plain, false, None).unwrap_err().error, "origin");
    }

    #[test]
    fn a_page_in_a_browser_changes_nothing() {
        let host = ("host", "localhost:9644");
        for origin in ["http://evil.example", "null", "https://localhost:9644", "http://localhost:80", ""] {
            assert_eq!(asked(&[host, ("origin", origin)], true, false), Err(403), "{origin}");
        }
        assert!(asked(&[host, ("origin", "http://localhost:9644")], true, false).is_ok());
        for (site, passes) in
            [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)]
        {
            assert_eq!(asked(&[host, ("sec-fetch-site", site)], true, false).is_ok(), passes, "{site}");
        }
        assert_eq!(asked(&[("host", "evil.example:9644")], true, false), Err(403));
        assert_eq!(asked(&[], true, false), Err(403));
        // A token a page came by is not enough either.
        let all = [host, ("origin", "http://evil.example"), ("authorization", "Bearer secret")];
        assert_eq!(asked(&all, false, true), Err(403));
    }

    #[test]
    fn only_names_of_loopback_are_local() {
        for host in ["localhost", "LocalHost:9644", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:9644"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9644",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "[::1",
            "[]",
            "::1",
            "0.0.0.0",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
