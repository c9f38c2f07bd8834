//! What goes over the wire: TLS outside loopback, and few bytes between watch and service.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodpay_core::Verdict;
use nodpay_protocol::{verify_decision, verify_outcome};
use nodpay_service::{ConfigError, ServeError, TlsFiles};
use nodpay_testkit::line_id;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::app::{Setup, TestApp};

/// From fetching a bill of five lines to the acknowledged outcome, HTTP headers included, TLS aside.
const WIRE_BUDGET: u64 = 12 * 1024;

/// Made for these tests alone; nobody trusts it.
fn test_certificate() -> TlsFiles {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/tls");
    TlsFiles { cert: folder.join("localhost.pem"), key: folder.join("localhost.key") }
}

#[test]
fn the_service_speaks_tls() {
    let app = TestApp::start_with(Setup { tls: Some(test_certificate()), ..Setup::default() });
    let pem = std::fs::read(test_certificate().cert).expect("the certificate");
    let trusted = RootCerts::new_with_certs(&[Certificate::from_pem(&pem).expect("a certificate")]);
    let config = ureq::Agent::config_builder().tls_config(TlsConfig::builder().root_certs(trusted).build()).build();
    let agent: ureq::Agent = config.into();
    let https = app.base.replace("http://127.0.0.1", "https://localhost");
    let mut answer = agent.get(format!("{https}/healthz")).call().expect("an answer");
    assert_eq!(answer.body_mut().read_to_string().expect("a text"), "ok\n");
    assert!(ureq::get(format!("{https}/healthz")).call().is_err(), "others do not trust it");
    assert!(ureq::get(format!("{}/healthz", app.base)).call().is_err(), "and it speaks nothing else");
}

#[test]
fn the_service_does_not_listen_to_a_network_in_the_clear() {
    let app = TestApp::start();
    let refused = app.wait(async {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
        nodpay_service::serve(app.app.clone(), listener).await
    });
    assert!(matches!(refused, Err(ServeError::Config(ConfigError::PlainHttp(_)))), "{refused:?}");
}

#[test]
fn a_whole_payment_fits_its_budget() {
    let (mut app, household) = TestApp::furnished();
    let cast = &household.cast;
    let direct = app.base.clone();
    let (proxy, bytes) = counting_proxy(direct.strip_prefix("http://").expect("an address"));
    app.base = proxy.clone();
    let stream = app.follow_watch(cast, None);
    stream.next();

    let bill = cast.bill(1);
    app.base = direct.clone();
    app.post_bill(&bill).ok();
    app.base = proxy.clone();
    let before = bytes.load(Ordering::SeqCst);
    app.watch_get(cast, &format!("/api/watch/{}/bills/{}", cast.watch, bill.bill)).ok();
    let order = cast.order(&bill, 1);
    app.place(cast, &order).ok();

    app.base = direct;
    let struck = [line_id("3")];
    let wire = cast.sign_decision(&cast.decision_payload(&order, &bill, None, &struck, Verdict::Approve));
    app.decide_wire(&household, &order, &wire).ok();
    app.base = proxy;

    stream.wait_for("decision");
    let (decision, ..) = verify_decision(&wire, &cast.book(), &order, &bill, None, &cast.certificate).expect("sound");
    app.watch_post(cast, &order, "payment", cast.payment(&order, &decision).wire()).ok();
    let told = stream.wait_for("outcome").data;
    let outcome = verify_outcome(told["outcome"].as_str().expect("a wire"), &cast.outcome_certificate, &order);
    let result = cast.result(&order, &outcome.expect("the service's word"));
    app.watch_post(cast, &order, "result", result.wire()).ok();
    let used = bytes.load(Ordering::SeqCst) - before;
    println!("bytes between watch and service for one payment: {used}");
    assert!(used <= WIRE_BUDGET, "{used} bytes");
    assert!(used > 5_000, "the proxy counts");
}

/// Passes everything on to `target` and counts it.
fn counting_proxy(target: &str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let bytes = Arc::new(AtomicU64::new(0));
    let (target, count) = (target.to_owned(), Arc::clone(&bytes));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) else { return };
            let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { return };
            let (up, down) = (Arc::clone(&count), Arc::clone(&count));
            std::thread::spawn(move || pass_on(from_client, server, &up));
            std::thread::spawn(move || pass_on(from_server, client, &down));
        }
    });
    (base, bytes)
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = [0; 16_384];
    while let Ok(len) = from.read(&mut buffer) {
        count.fetch_add(u64::try_from(len).unwrap_or(0), Ordering::SeqCst);
        if len == 0 || to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
