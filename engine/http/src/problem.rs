//! Error responses: their JSON body, and the conversion of port errors to status codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pricedrop_model::ports;
use serde::{Deserialize, Serialize};

use pricedrop_model::intake::IntakeError;

/// The body of every error response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// What is wrong, as text.
    pub error: String,
    /// Where it is wrong: a field, a line or a header.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What the client can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// An error response: a problem with its status code.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    problem: ProblemBody,
}

/// The result of every handler.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem { status, problem: ProblemBody { error: error.into(), place: None, remedy: None } }
    }

    /// An error response with status 400.
    pub(crate) fn bad(error: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn at(mut self, place: impl Into<String>) -> Problem {
        self.problem.place = Some(place.into());
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.problem.remedy = Some(remedy.into());
        self
    }
}

impl From<ports::Error> for Problem {
    fn from(error: ports::Error) -> Problem {
        let remedy = match &error {
            ports::Error::Unavailable(_) | ports::Error::Rebalanced(_) => "send the request again",
            ports::Error::Fatal(_) => "see the engine's log and /readyz",
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).remedy(remedy)
    }
}

impl From<IntakeError> for Problem {
    fn from(error: IntakeError) -> Problem {
        let text = error.to_string();
        match error {
            IntakeError::Gap { next } => {
                Problem::new(StatusCode::CONFLICT, text).at("offset").remedy(format!("continue at offset {next}"))
            }
            IntakeError::NotTaken(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .remedy("no record was accepted: send the request again"),
            IntakeError::Unknown(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .remedy("send the request again with ?offset= of its first record, so that no record is accepted twice"),
            IntakeError::Partly(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text).remedy(
                "send the request again: no user is notified twice if the updates have a sequence, or if no other price of \
                 their products arrives in between",
            ),
            IntakeError::NoOffset(_) => Problem::bad(text).at("offset").remedy("omit ?offset="),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
