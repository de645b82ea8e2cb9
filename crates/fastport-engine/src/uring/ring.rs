//! One submission and completion queue pair: its set-up, its only system call, and nothing lost
//! when full.
//!
//! An entry that finds the submission queue full waits here, in order; a completion that is in the
//! way of a submission is moved here, in order. Only the thread that opened the ring may use it
//! (SINGLE_ISSUER), and completions appear only while it is inside [`Ring::submit`] or
//! [`Ring::wait`] (DEFER_TASKRUN).

use io_uring::{EnterFlags, IoUring, cqueue, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// How often one call retries a submission that the kernel refuses for want of resources.
const SUBMIT_ATTEMPTS: u32 = 4;
/// Completions that are known beyond the one which is taken, if there are so many.
const SEEN_AHEAD: usize = 8;
/// Completions that are moved from the queue together.
const TAKEN_AT_ONCE: usize = 32;

/// The queue pair of one worker.
pub(super) struct Ring {
    io: IoUring,
    /// Entries that found the submission queue full, oldest first.
    waiting: VecDeque<squeue::Entry>,
    /// Completions taken from the queue, to make room or to look ahead, oldest first.
    backlog: VecDeque<cqueue::Entry>,
    /// Keeps a wait from being accounted as waiting for a disk, where the kernel can.
    idle: EnterFlags,
    /// System calls made.
    enters: u64,
    /// Turns that found the completion queue overflown. The kernel keeps what does not fit
    /// (NODROP).
    overflows: u64,
}

impl Ring {
    /// Makes the queues. The kernel rounds both sizes up to a power of two and clamps them.
    pub(super) fn open(submissions: u32, completions: u32) -> io::Result<Self> {
        // The kernel refuses a completion queue that is smaller than the submission queue.
        let submissions = submissions.clamp(1, completions.max(1));
        let io = match build(submissions, completions, true) {
            // NO_SQARRAY came with 6.6.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                build(submissions, completions, false)
            }
            other => other,
        }?;
        // Nothing of ours should ever need a kernel worker thread; if the limit is refused, nothing
        // is lost but the guarantee.
        let _ = io.submitter().register_iowq_max_workers(&mut [1, 1]);
        let idle = if io.params().is_feature_no_iowait() {
            EnterFlags::NO_IOWAIT
        } else {
            EnterFlags::empty()
        };
        Ok(Self {
            io,
            waiting: VecDeque::new(),
            backlog: VecDeque::new(),
            idle,
            enters: 0,
            overflows: 0,
        })
    }

    /// Registers a ring of provided buffers as `group`.
    ///
    /// # Safety
    /// `address` points to `entries` entries that stay in place until this ring is dropped.
    pub(super) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        let submitter = self.io.submitter();
        // SAFETY: the caller keeps the entries in place.
        unsafe { submitter.register_buf_ring_with_flags(address, entries, group, 0) }
    }

    /// Registers a table of so many files, all places empty.
    pub(super) fn register_files(&self, places: u32) -> io::Result<()> {
        self.io.submitter().register_files_sparse(places)
    }

    /// Queues an operation. Never fails and never drops it: when the queue is full it is submitted,
    /// and what does not fit even then waits for the next submission.
    ///
    /// # Safety
    /// What the entry points to is valid until its final completion; a message header, an iovec
    /// array and a socket address only until [`Ring::is_submitted`] (IORING_FEAT_SUBMIT_STABLE).
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry) {
        if self.waiting.is_empty() {
            // SAFETY: the caller's promise is what `push` asks for.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.waiting.push_back(entry);
        // An error here comes again at the turn's own submission, which reports it.
        let _ = self.enter(0, None);
        self.refill();
    }

    /// Whether the kernel has taken everything that was pushed.
    pub(super) fn is_submitted(&mut self) -> bool {
        self.waiting.is_empty() && self.io.submission().is_empty()
    }

    /// Hands everything to the kernel and lets it post what has completed; does not wait.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        for _ in 0..SUBMIT_ATTEMPTS {
            loop {
                self.refill();
                let before = self.io.submission().len();
                self.enter(0, None)?;
                if self.is_submitted() {
                    return Ok(());
                }
                if self.io.submission().len() == before {
                    break;
                }
            }
            // EBUSY or EAGAIN: the kernel wants room for completions first.
            self.set_completions_aside();
        }
        Ok(())
    }

    /// Hands everything to the kernel and waits for a completion, for at most `timeout`; `None`
    /// waits for ever. Returns at once when there is a completion already, or when a signal
    /// arrives.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.submit()?;
        }
        let idle = self.waiting.is_empty() && !self.has_completion();
        let want = u32::from(idle && timeout != Some(Duration::ZERO));
        self.enter(want, timeout)
    }

    /// Whether a completion can be taken without a system call.
    pub(super) fn has_completion(&mut self) -> bool {
        !self.backlog.is_empty() || !self.io.completion().is_empty()
    }

    /// Takes the oldest completion.
    #[inline]
    pub(super) fn next(&mut self) -> Option<cqueue::Entry> {
        // Not below, or the last ones of a turn would each look in vain.
        if matches!(self.backlog.len(), 0 | SEEN_AHEAD) {
            let entries = self.io.completion().take(TAKEN_AT_ONCE);
            self.backlog.extend(entries);
        }
        self.backlog.pop_front()
    }

    /// What the completion of so many steps ahead belongs to, from 1 for the next one.
    #[inline]
    pub(super) fn upcoming(&self, ahead: usize) -> Option<u64> {
        let entry = self.backlog.get(ahead.checked_sub(1)?)?;
        Some(entry.user_data())
    }

    /// System calls made so far.
    pub(super) const fn enters(&self) -> u64 {
        self.enters
    }

    /// Turns so far that found the completion queue overflown.
    pub(super) const fn overflows(&self) -> u64 {
        self.overflows
    }

    /// Moves waiting entries into the submission queue, as many as fit.
    fn refill(&mut self) {
        let mut queue = self.io.submission();
        while let Some(entry) = self.waiting.front() {
            // SAFETY: whoever pushed the entry promised what `push` asks for.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }

    fn set_completions_aside(&mut self) {
        self.backlog.extend(self.io.completion());
    }

    /// `io_uring_enter(2)`. Being interrupted, timed out or asked to come again is not an error.
    fn enter(&mut self, want: u32, timeout: Option<Duration>) -> io::Result<()> {
        let queue = self.io.submission();
        let queued = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        self.overflows += u64::from(queue.cq_overflow());
        drop(queue);
        self.enters += 1;
        let deadline = timeout.map(types::Timespec::from);
        let mut arguments = types::SubmitArgs::new();
        if let Some(deadline) = &deadline {
            arguments = arguments.timespec(deadline);
        }
        // GETEVENTS even without a wait: deferred task work, and completions that overflowed, are
        // only dealt with by an enter that carries it (io_uring_setup(2),
        // IORING_SETUP_DEFER_TASKRUN).
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if want > 0 {
            flags |= self.idle;
        }
        let submitter = self.io.submitter();
        // SAFETY: the argument is the structure that EXT_ARG announces, and it and its time live on
        // this stack until the call returns; the entries were pushed under the promise of
        // `Ring::push`.
        let outcome = unsafe { submitter.enter(queued, want, flags.bits(), Some(&arguments)) };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::ETIME | libc::EAGAIN | libc::EBUSY) => Ok(()),
                // EBADR among them: the kernel had no memory to keep completions, so some are lost.
                _ => Err(error),
            },
        }
    }
}

fn build(submissions: u32, completions: u32, without_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(completions);
    if without_array {
        builder.setup_no_sqarray();
    }
    builder.dontfork();
    builder.build(submissions)
}
