//! What happens where io_uring is forbidden, as in many containers.
//!
//! A seccomp filter concerns the thread that installs it, so each case has a thread of its own.
#![cfg(target_os = "linux")]

use fastport_engine::{Engine, EngineConfig, EngineError, EngineKind, UringEngine, uring::probe};

/// Makes `io_uring_setup` fail with `error` on this thread, for good.
fn forbid_io_uring(error: i32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let refusal = libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap();
    let mut program = [
        // The system call's number is the first word of `seccomp_data`.
        step(LOAD, 0, 0),
        step(JUMP_IF_EQUAL, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, refusal),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: no memory is involved.
    let outcome = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(outcome, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let outcome = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter) };
    assert_eq!(outcome, 0);
}

fn refused_with(error: i32, word: &'static str) {
    let case = std::thread::spawn(move || {
        forbid_io_uring(error);
        let reason = probe::refusal().expect("a refusal");
        assert!(reason.contains(word), "{reason}");

        let choice = EngineKind::choose(None).unwrap();
        assert_eq!((choice.kind, choice.reason), (EngineKind::Poll, reason));

        let asked = EngineKind::choose(Some(EngineKind::IoUring));
        assert!(matches!(asked, Err(EngineError::Unavailable { .. })));

        let opened = UringEngine::open(&EngineConfig::default());
        let Err(EngineError::Setup { source, .. }) = opened else {
            panic!("an engine without io_uring")
        };
        assert_eq!(source.raw_os_error(), Some(error));
    });
    case.join().unwrap();
}

#[test]
fn a_container_that_forbids_it_gets_the_fallback_and_the_reason() {
    refused_with(libc::EPERM, "forbidden");
}

#[test]
fn a_kernel_without_it_gets_the_fallback_and_the_reason() {
    refused_with(libc::ENOSYS, "ENOSYS");
}

#[test]
fn a_kernel_that_lacks_the_flags_gets_the_fallback_and_the_reason() {
    refused_with(libc::EINVAL, "lacks");
}
