//! What Linux promises of a reset: bytes that came before it stay readable. Others may drop them.
#![cfg(target_os = "linux")]

#[path = "conformance/driver.rs"]
#[allow(dead_code, reason = "made for the conformance suite")]
mod driver;

use driver::{Driver, batch, name, pattern, reset};
use fastport_engine::{Engine, Event, PollEngine, UringEngine};
use std::io::Write;

fn bytes_before_a_reset_are_not_lost<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    client.write_all(&pattern(6000)).unwrap();
    reset(client);
    driver.engine.arm_recv(key);
    assert_eq!(driver.receive_exactly(key, 6000), pattern(6000));
    driver.engine.send(key, batch(b"anybody?"));
    driver.until(|_, event| match event {
        Event::Sent { result, .. } => result.is_err(),
        Event::Failed { .. } => false,
        other => panic!("{}", name(&other)),
    });
    driver.finish();
}

fn a_reset_behind_bytes_during_a_pause_is_told<E: Engine>() {
    let mut driver = Driver::<E>::new();
    let (key, mut client) = driver.session();
    driver.engine.arm_recv(key);
    driver.engine.pause_recv(key);
    driver.paused(key);
    client.write_all(&pattern(6000)).unwrap();
    reset(client);
    driver.engine.arm_recv(key);
    assert_eq!(driver.receive_exactly(key, 6000), pattern(6000));
    assert!(matches!(driver.event(), Event::Failed { .. }));
    driver.finish();
}

/// Both come to an armed receive between two turns.
fn bytes_and_a_reset_in_one_harvest_are_both_told<E: Engine>() {
    let mut driver = Driver::<E>::new();
    for _ in 0..20 {
        let (key, mut client) = driver.session();
        driver.engine.arm_recv(key);
        driver.quiet();
        client.write_all(&pattern(6000)).unwrap();
        reset(client);
        assert_eq!(driver.receive_exactly(key, 6000), pattern(6000));
        assert!(matches!(driver.event(), Event::Failed { .. }));
        driver.close(key);
    }
    driver.finish();
}

macro_rules! resets {
    ($module:ident: $engine:ident: $($case:ident),*) => {
        mod $module {
            $(#[test]
            fn $case() {
                super::$case::<super::$engine>();
            })*
        }
    };
    ($module:ident: $engine:ident) => {
        resets!($module: $engine:
            bytes_before_a_reset_are_not_lost,
            a_reset_behind_bytes_during_a_pause_is_told,
            bytes_and_a_reset_in_one_harvest_are_both_told);
    };
}

resets!(poll: PollEngine);
resets!(uring: UringEngine);
