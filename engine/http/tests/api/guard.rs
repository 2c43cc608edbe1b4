//! Tests which requests are allowed: tokens, hosts, foreign pages, the limit of concurrent requests.

use pricedrop_http::{Error, Options, bind};
use pricedrop_model::Rules;

use crate::rig::{options, serve, served};

const GUARDED: [&str; 5] =
    ["GET /v1/watches", "PUT /v1/watches", "POST /v1/prices", "GET /metrics", "GET /nowhere"];

fn with_token() -> Options {
    Options { token: Some("s3cret".into()), ..options() }
}

#[tokio::test]
async fn with_a_token_every_request_except_livez_needs_it() {
    let served = serve(with_token(), Rules::default()).await;
    let wrong =
        ["x: y", "authorization: Bearer s3cre", "authorization: Bearer s3crets", "authorization: s3cret"];
    for request in GUARDED {
        for header in wrong {
            let reply = served.ask_with(&["host: localhost", header], request, "").await;
            let expected = (401, "the token is missing or wrong".into(), Some("Authorization".into()));
            assert_eq!(reply.problem(), expected, "{request} {header}");
            assert!(reply.remedy().contains("Authorization: Bearer <token>"), "{}", reply.remedy());
        }
    }
    assert_eq!(served.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_request_with_the_token_may_use_any_host() {
    let served = serve(with_token(), Rules::default()).await;
    for host in ["host: localhost", "host: prices.example:8080"] {
        let in_lower_case = [host, "authorization: bearer  s3cret"];
        assert_eq!(served.ask_with(&in_lower_case, "GET /v1/watches", "").await.status, 200);
        let reply = served.ask_with(&[host, "authorization: Bearer s3cret"], "GET /v1/watches", "").await;
        assert_eq!(reply.status, 200, "{host}: {}", reply.text);
    }
}

#[tokio::test]
async fn without_a_token_a_host_that_is_not_loopback_is_forbidden() {
    let served = served().await;
    for request in GUARDED {
        let reply = served.ask_with(&["host: attacker.example:8080"], request, "").await;
        let expected = (403, "unknown host \"attacker.example\"".into(), Some("Host".into()));
        assert_eq!(reply.problem(), expected, "{request}");
        assert!(reply.remedy().contains("http.token_file"), "{}", reply.remedy());
    }
    for host in ["host: 127.0.0.1:1", "host: LOCALHOST", "host: [::1]:8080"] {
        assert_eq!(served.ask_with(&[host], "GET /v1/watches", "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_write() {
    for (options, bearer) in [(options(), "x: y"), (with_token(), "authorization: Bearer s3cret")] {
        let served = serve(options, Rules::default()).await;
        for (origin, status) in [("http://attacker.example", 403), ("null", 403), ("http://localhost", 200)] {
            let head = ["host: localhost", bearer, &format!("origin: {origin}")];
            let delete = "DELETE /v1/recipients?user=u&channel=mail&address=a@b";
            let reply = served.ask_with(&head, delete, "").await;
            assert_eq!(reply.status, status, "{origin} {bearer}: {}", reply.text);
            let read = served.ask_with(&head, "GET /v1/recipients", "").await;
            assert_eq!(read.status, 200, "reads are guarded by the browser: {origin}");
        }
    }
}

#[tokio::test]
async fn past_the_limit_of_concurrent_requests_only_livez_is_answered() {
    let none_at_a_time = Options { max_concurrent_requests: 0, ..options() };
    let served = serve(none_at_a_time, Rules::default()).await;
    let reply = served.get("/v1/watches").await;
    assert_eq!(reply.problem(), (503, "too many concurrent requests".into(), None));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(served.get("/livez").await.status, 200);
}

#[tokio::test]
async fn without_a_token_only_loopback_is_served() {
    let open = Options { listen: "0.0.0.0:0".into(), ..options() };
    let refused = bind(open.clone()).await.err().unwrap();
    assert!(matches!(refused, Error::Open(_)), "{refused}");
    bind(Options { token: Some("s3cret".into()), ..open }).await.unwrap();
}
