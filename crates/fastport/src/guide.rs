//! The guide's code, compiled and run: each chapter is the documentation of a module here.
//!
//! There is nothing in it but while doctests run, and the pages are not part of the package; so
//! that code in the guide can not rot, `cargo xtask tidy` wants each chapter with code listed.

macro_rules! chapters {
    ($($name:ident: $page:literal),* $(,)?) => {$(
        #[doc = include_str!($page)]
        mod $name {}
    )*};
}

chapters! {
    first_echo: "../../../docs/guide/src/first-echo.md",
    chat: "../../../docs/guide/src/chat.md",
    production: "../../../docs/guide/src/production.md",
    resuming: "../../../docs/guide/src/resuming.md",
    back_pressure: "../../../docs/guide/src/back-pressure.md",
    requests: "../../../docs/guide/src/requests.md",
    wire: "../../../docs/guide/src/wire.md",
    back_ends: "../../../docs/guide/src/back-ends.md",
    tuning: "../../../docs/guide/src/tuning.md",
    security: "../../../docs/guide/src/security.md",
    from_cpp: "../../../docs/guide/src/from-cpp.md",
    from_tokio: "../../../docs/guide/src/from-tokio.md",
    from_hp_socket: "../../../docs/guide/src/from-hp-socket.md",
}
