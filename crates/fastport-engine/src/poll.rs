//! The readiness fallback: completions emulated over epoll or kqueue.
