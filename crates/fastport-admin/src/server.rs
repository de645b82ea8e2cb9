//! The admin listener as its owner holds it: what it is made from, its thread, its end.

use crate::access::{Access, Origin, Token};
use crate::actions::{Actions, Asker};
use crate::audit::Audit;
use crate::ban_file::BanFile;
use crate::sampler::{Board, PERIOD, Sampler};
use crate::wire::{self, InBand};
use crate::{AdminAddress, AdminError, clock, listener};
use fastport::Monitor;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// What an admin listener is made from.
#[derive(Clone, Debug, Default)]
pub struct AdminConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<AdminAddress>,
    /// What requests over TCP must know to act. Some token is needed for addresses that others
    /// reach, and for admin packets on the game port.
    pub token: Option<Token>,
    /// What requests over TCP must know to read alone: see [`Role`](crate::Role). With this one
    /// and no other nobody acts but the owner of a Unix socket.
    pub viewer_token: Option<Token>,
    /// Further names of this machine that `Host` may say, as browsers know them.
    pub hosts: Vec<String>,
    /// The audit log; without it only the ordinary log has what was done.
    pub audit_file: Option<PathBuf>,
    /// Where bans are kept, so that they hold after a restart; without it they end with the server.
    pub bans_file: Option<PathBuf>,
}

/// What the admin listener can have the program do. Called on a thread that may block.
pub trait Control: Send + Sync + 'static {
    /// Begins to drain and stop the server. Returns at once.
    fn drain(&self);

    /// Reads the settings again. Returns a line for each change.
    ///
    /// # Errors
    /// What is wrong; nothing has changed then.
    fn reload(&self) -> Result<Vec<String>, String>;

    /// Logs by other directives.
    ///
    /// # Errors
    /// What is wrong with them.
    fn set_log_level(&self, directives: &str) -> Result<(), String>;

    /// Log lines that were lost.
    fn log_lines_lost(&self) -> u64;
}

/// A running admin listener. Dropping it ends it.
pub struct AdminServer {
    addresses: Vec<AdminAddress>,
    shared: Arc<Shared>,
    in_band: InBand,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) monitor: Monitor,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) access: Access,
    pub(crate) actions: Arc<Actions>,
    pub(crate) board: Board,
    pub(crate) scans: Scans,
    draining: AtomicBool,
    /// When a refusal was last written, so that guessing does not fill the disk.
    refused_at: Mutex<Option<Instant>>,
}

impl Shared {
    /// Opens the files. Blocks on the disk.
    ///
    /// # Errors
    /// Tokens that are the same; a file that can not be used.
    pub(crate) fn new(
        config: &AdminConfig,
        monitor: Monitor,
        control: Arc<dyn Control>,
    ) -> Result<Self, AdminError> {
        let (operator, viewer) = (config.token.clone(), config.viewer_token.clone());
        let access = Access::new(operator, viewer, config.hosts.clone())?;
        let audit = Audit::open(config.audit_file.as_deref())?;
        let bans = BanFile::open(config.bans_file.as_deref(), &monitor)?;
        let actions = Actions::new(monitor.clone(), control.clone(), audit, bans);
        Ok(Self {
            monitor,
            control,
            access,
            actions: Arc::new(actions),
            board: Board::default(),
            scans: Scans::default(),
            draining: AtomicBool::new(false),
            refused_at: Mutex::default(),
        })
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Writes down that somebody was not let in, once a second.
    pub(crate) fn refused(&self, origin: Origin, what: &str) {
        let now = clock::now();
        let mut last = self.refused_at.lock();
        if last.is_none_or(|last| now.duration_since(last) >= PERIOD) {
            *last = Some(now);
            let asker = Asker { origin, role: None };
            self.actions.refuse(asker, what, "no valid token");
        }
    }
}

impl AdminServer {
    /// Starts to listen, on a thread of its own. Blocks until it does.
    ///
    /// # Errors
    /// An address that others reach without a token; two tokens that are the same; an address or a
    /// file that can not be used.
    pub fn start(
        config: AdminConfig,
        monitor: Monitor,
        control: Arc<dyn Control>,
    ) -> Result<Self, AdminError> {
        let shared = Arc::new(Shared::new(&config, monitor, control)?);
        for address in &config.listen {
            shared.access.check_address(address)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(AdminError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let (sender, receiver) = mpsc::channel(wire::IN_BAND_MAX);
        let bound = runtime.block_on(listener::bind_all(&config.listen))?;
        let addresses = bound.iter().map(listener::Bound::address).collect();
        let run = {
            let shared = shared.clone();
            move || {
                runtime.block_on(run(shared, bound, receiver, stopped));
                // Whatever blocks is not waited for.
                runtime.shutdown_background();
            }
        };
        let thread = std::thread::Builder::new().name("fastport-admin".into());
        Ok(Self {
            addresses,
            shared,
            in_band: InBand(sender),
            stop,
            thread: Some(thread.spawn(run).map_err(AdminError::Thread)?),
        })
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[AdminAddress] {
        &self.addresses
    }

    /// Takes admin packets of a game port, for those who allow that.
    #[must_use]
    pub fn in_band(&self) -> InBand {
        self.in_band.clone()
    }

    /// From now on `/readyz` says that no new sessions are to be sent here.
    pub fn set_draining(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // The thread may have ended.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The life of the admin thread.
async fn run(
    shared: Arc<Shared>,
    bound: Vec<listener::Bound>,
    asked: mpsc::Receiver<wire::Asked>,
    mut stopped: watch::Receiver<bool>,
) {
    tokio::spawn(wire::serve_in_band(shared.clone(), asked));
    for bound in bound {
        tokio::spawn(listener::accept(shared.clone(), bound));
    }
    let mut sampler = Sampler::new(shared.monitor.clone());
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let lost = shared.control.log_lines_lost();
                sampler.sample(&shared.board, shared.is_draining(), lost);
            }
            // An error means that the owner is gone.
            _ = stopped.changed() => return,
        }
    }
}

/// Looks at all sessions cost as much as there are sessions: so many a second are enough.
#[derive(Default)]
pub(crate) struct Scans(tokio::sync::Mutex<Option<tokio::time::Instant>>);

impl Scans {
    /// The least time between two looks.
    const PAUSE: Duration = Duration::from_millis(20);

    /// Waits until another look is due.
    pub(crate) async fn wait(&self) {
        let mut last = self.0.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + Self::PAUSE).await;
        }
        *last = Some(clock::now().into());
    }
}
