//! Waits end: by a wake-up from any thread, by their deadline, never by a lost wake-up.

use crate::driver::{Driver, PATIENCE, now, small};
use fastport_engine::{Engine, Mailbox, Wait, Wake};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

pub(crate) fn another_thread_ends_a_wait<E: Engine>() {
    let mut engine = E::open(&small()).unwrap();
    let (turns, heard) = mpsc::channel();
    let waker = engine.waker();
    let other = std::thread::spawn(move || {
        for _ in 0..100 {
            heard.recv().unwrap();
            waker.wake();
        }
    });
    let started = now();
    for _ in 0..100 {
        turns.send(()).unwrap();
        engine.submit_and_wait(Wait::Forever).unwrap();
        assert!(engine.next_event().is_none());
    }
    // All waits ended, or the test would hang; and none took its time.
    assert!(started.elapsed() < PATIENCE);
    other.join().unwrap();
}

pub(crate) fn a_wake_before_the_wait_is_not_lost<E: Engine>() {
    let mut engine = E::open(&small()).unwrap();
    let waker = engine.waker();
    for _ in 0..100 {
        waker.wake();
        waker.clone().wake();
        engine.submit_and_wait(Wait::Forever).unwrap();
    }
}

pub(crate) fn no_message_to_a_parked_worker_is_lost<E: Engine>() {
    const THREADS: u32 = 4;
    const MESSAGES: u32 = 20_000;
    let mut driver = Driver::<E>::new();
    let mailbox = Arc::new(Mailbox::new(driver.engine.waker()));
    let posters: Vec<_> = (0..THREADS)
        .map(|_| {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || {
                for message in 0..MESSAGES {
                    mailbox.post(message);
                    if message % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut taken = 0;
    while taken < THREADS * MESSAGES {
        while mailbox.take().is_some() {
            taken += 1;
        }
        let waited_from = now();
        if mailbox.park() && taken < THREADS * MESSAGES {
            let deadline = waited_from + PATIENCE;
            driver
                .engine
                .submit_and_wait(Wait::Until(deadline))
                .unwrap();
            assert!(now() < deadline, "a wake-up was lost");
        }
        mailbox.unpark();
        assert!(driver.engine.next_event().is_none());
    }
    for poster in posters {
        poster.join().unwrap();
    }
    driver.finish();
}

pub(crate) fn a_waker_outlives_the_engine<E: Engine>() {
    for drained in [true, false] {
        let driver = Driver::<E>::new();
        let waker = driver.engine.waker();
        waker.wake();
        if drained {
            driver.finish();
        } else {
            drop(driver);
        }
        waker.wake();
        std::thread::spawn(move || waker.wake()).join().unwrap();
    }
}

pub(crate) fn a_wait_ends_at_its_deadline_and_tells_the_time<E: Engine>() {
    let mut driver = Driver::<E>::new();
    driver.quiet();
    let started = now();
    let deadline = started + Duration::from_millis(30);
    let mut turns = 0;
    while driver.engine.now() < deadline {
        driver
            .engine
            .submit_and_wait(Wait::Until(deadline))
            .unwrap();
        turns += 1;
    }
    assert!(started.elapsed() >= Duration::from_millis(30));
    assert!(started.elapsed() < PATIENCE);
    assert!(turns <= 5, "{turns} turns in 30 ms with nothing to do");
    // Not at all, though nothing happens.
    driver.engine.submit_and_wait(Wait::Poll).unwrap();
    driver.engine.submit_and_wait(Wait::Until(started)).unwrap();
    driver.finish();
}
