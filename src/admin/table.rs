//! The one table of routes: what is answered (`routes`) and what is described (`openapi`, the list at `/`) is read from it, so
//! that they cannot differ.

use axum::routing::MethodFilter;

use super::control::Action;
use super::guard::Guard;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Index,
    Metrics,
    Healthz,
    Readyz,
    Policies,
    Policy,
    Rules,
    Sessions,
    OpenApi,
    Change(Action),
}

impl Operation {
    /// Its name in the description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Metrics => "metrics",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Policies => "policies",
            Self::Policy => "policy",
            Self::Rules => "rules",
            Self::Sessions => "sessions",
            Self::OpenApi => "openapi",
            Self::Change(action) => action.name(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    pub fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// A way in.
#[derive(Debug)]
pub(super) struct Route {
    pub method: Method,
    /// With its parameters in braces, as both the router and the description write them.
    pub path: &'static str,
    pub operation: Operation,
    pub summary: &'static str,
    pub query: &'static [Parameter],
    /// What the body is; None: there is none.
    pub body: Option<&'static str>,
    pub guard: Guard,
    /// What it answers when all is well, or when it answers something of its own. What is refused follows from the rest.
    pub answers: &'static [Answer],
}

/// A parameter of the query; none is needed.
#[derive(Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    /// Its type in JSON schema.
    pub kind: &'static str,
    pub what: &'static str,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub what: &'static str,
    pub shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// Of any JSON.
    Any,
    /// A schema of the description.
    Named(&'static str),
}

const fn ok(what: &'static str, shape: Shape) -> Answer {
    Answer { status: 200, what, shape }
}

const fn problem(status: u16, what: &'static str) -> Answer {
    Answer { status, what, shape: Shape::Named("Problem") }
}

const TTL: Parameter = Parameter {
    name: "ttl",
    kind: "string",
    what: "How long it lives, as 90s, 10m, 2h or 7d. Then it ends, what it held back goes on, and it is gone. Without: until it is \
           removed, or the process ends. Not for what has security rules.",
};
const SECURITY: Parameter = Parameter {
    name: "security",
    kind: "boolean",
    what: "Says that security rules are meant. Where they are concerned and this is not said, or the setting \
           admin_security_changes is not set, the change is refused with 403.",
};
const PAGE: [Parameter; 2] = [
    Parameter { name: "after", kind: "integer", what: "Only sessions with a higher id." },
    Parameter { name: "limit", kind: "integer", what: "How many at most: 1 to 1000, usually 100." },
];

const CHANGED: Shape = Shape::Named("Changed");
const CREATED: Answer = Answer { status: 201, what: "It is new and in force.", shape: CHANGED };
const BAD_SCRIPT: Answer = problem(
    400,
    "The script does not load, the name or the time cannot be. The set in force stays what it was.",
);
const CLASH: Answer =
    problem(409, "It does not go with what is there: a policy of the folder has the name or the file.");
const FULL: Answer = problem(507, "As much was added as may be.");
const SWITCHED: [Answer; 1] = [ok(
    "It is so; what a rule that is off held back has gone on. `changed` says whether it was so before.",
    CHANGED,
)];

/// All there are.
pub(super) const ROUTES: &[Route] = &[
    read("/", Operation::Index, "this list", &[ok("The list.", Shape::Text)]),
    read("/metrics", Operation::Metrics, "Prometheus metrics", &[ok("Text format 0.0.4.", Shape::Text)]),
    read("/healthz", Operation::Healthz, "the process answers", &[ok("It does.", Shape::Text)]),
    read(
        "/readyz",
        Operation::Readyz,
        "clients can be sent here",
        &[
            ok("They can.", Shape::Text),
            Answer { status: 503, what: "Not now; the text says why.", shape: Shape::Text },
        ],
    ),
    Route {
        query: &PAGE,
        ..read(
            "/v1/sessions",
            Operation::Sessions,
            "the clients connected now",
            &[ok("A page of them, by id.", Shape::Named("Sessions"))],
        )
    },
    read(
        "/v1/openapi.json",
        Operation::OpenApi,
        "this interface as OpenAPI 3.1",
        &[ok("The description.", Shape::Any)],
    ),
    read(
        "/v1/policies",
        Operation::Policies,
        "the policies and what their rules did",
        &[ok("All there are, those switched off too.", Shape::Named("Policies"))],
    ),
    Route {
        guard: Guard::Scripts,
        ..read(
            "/v1/policies/{name}",
            Operation::Policy,
            "a policy with its script",
            &[ok("The policy.", Shape::Named("PolicyScript"))],
        )
    },
    Route {
        query: &[TTL, SECURITY],
        body: Some("The script, in Rhai. If it names itself, then as the path does."),
        ..change(
            Method::Put,
            "/v1/policies/{name}",
            Action::PutPolicy,
            "adds a policy, or changes one that was added",
            &[ok("It took the place of what was added before.", CHANGED), CREATED, BAD_SCRIPT, CLASH, FULL],
        )
    },
    change(
        Method::Delete,
        "/v1/policies/{name}",
        Action::RemovePolicy,
        "removes a policy that was added",
        &[ok("It is gone, and what it held back has gone on in order.", CHANGED), CLASH],
    ),
    change(
        Method::Post,
        "/v1/policies/{name}/enable",
        Action::EnablePolicy,
        "switches a policy on again",
        &SWITCHED,
    ),
    change(
        Method::Post,
        "/v1/policies/{name}/disable",
        Action::DisablePolicy,
        "switches a policy off",
        &SWITCHED,
    ),
    change(
        Method::Post,
        "/v1/policies/{name}/rules/{rule}/enable",
        Action::EnableRule,
        "switches a rule on again",
        &SWITCHED,
    ),
    change(
        Method::Post,
        "/v1/policies/{name}/rules/{rule}/disable",
        Action::DisableRule,
        "switches a rule off",
        &SWITCHED,
    ),
    read(
        "/v1/rules",
        Operation::Rules,
        "all rules, one by one",
        &[ok("In the order of their policies.", Shape::Named("Rules"))],
    ),
    Route {
        query: &[TTL, SECURITY],
        body: Some("One rule, in Rhai. Its name is that of the path, and it becomes a policy of that name."),
        ..change(
            Method::Put,
            "/v1/rules/{name}",
            Action::PutRule,
            "adds a rule, or changes one that was added",
            &[ok("It took the place of what was added before.", CHANGED), CREATED, BAD_SCRIPT, CLASH, FULL],
        )
    },
    change(
        Method::Delete,
        "/v1/rules/{name}",
        Action::RemoveRule,
        "removes a rule that was added",
        &[ok("It is gone, and what it held back has gone on in order.", CHANGED), CLASH],
    ),
    change(
        Method::Post,
        "/v1/reset",
        Action::Reset,
        "back to what the folder says: removes what was added, switches all on",
        &[ok(
            "What was done. What has security rules stays unless `security` is said.",
            Shape::Named("Reset"),
        )],
    ),
];

const fn read(
    path: &'static str,
    operation: Operation,
    summary: &'static str,
    answers: &'static [Answer],
) -> Route {
    Route {
        method: Method::Get,
        path,
        operation,
        summary,
        query: &[],
        body: None,
        guard: Guard::Open,
        answers,
    }
}

const fn change(
    method: Method,
    path: &'static str,
    action: Action,
    summary: &'static str,
    answers: &'static [Answer],
) -> Route {
    let query = &[SECURITY];
    Route {
        method,
        path,
        operation: Operation::Change(action),
        summary,
        query,
        body: None,
        guard: Guard::Change,
        answers,
    }
}

impl Route {
    /// The parameters in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// What it may answer beside its own answers, with the reason.
    pub fn refusals(&self) -> Vec<Answer> {
        let mut all = vec![problem(400, "What was asked cannot be meant.")];
        if self.guard == Guard::Open {
            all.push(problem(403, "On a loopback address: the Host header names another."));
        } else {
            all.push(problem(401, "A token is needed, and none that is known was shown."));
            all.push(problem(
                403,
                "The address needs a token and has none, a page of another origin asks, or security rules are concerned.",
            ));
        }
        if self.parameters().next().is_some() && self.body.is_none() {
            all.push(problem(404, "There is no such policy or rule."));
        }
        all.push(match self.body {
            Some(_) => problem(413, "The script is longer than 1 MiB."),
            None => problem(413, "There is a body where none is taken."),
        });
        if self.body.is_some() {
            all.push(problem(408, "The body did not arrive in time."));
        }
        all.retain(|refusal| self.answers.iter().all(|own| own.status != refusal.status));
        all
    }
}
