//! The header of any message that has one, so that generic code can tie an answer to its request.

use crate::commons::Header;
use crate::{admin, benchmark, tests};

/// A message with a [`Header`] as its first field.
pub trait Headed {
    /// The header, or `None` when the sender left it out.
    fn header(&self) -> Option<&Header>;

    /// Sets the header, whatever it was.
    fn set_header(&mut self, header: Header);
}

macro_rules! headed {
    ($($message:ty),* $(,)?) => {$(
        impl Headed for $message {
            #[inline]
            fn header(&self) -> Option<&Header> {
                self.header.as_ref()
            }

            #[inline]
            fn set_header(&mut self, header: Header) {
                self.header = Some(header);
            }
        }
    )*};
}

headed!(
    tests::PingRequest,
    tests::PingResponse,
    tests::EchoRequest,
    tests::EchoResponse,
    tests::ErrorResponse,
    benchmark::BenchmarkRequest,
    benchmark::BenchmarkResponse,
    benchmark::BenchmarkStartRequest,
    benchmark::BenchmarkStartResponse,
    benchmark::BenchmarkEndRequest,
    benchmark::BenchmarkEndResponse,
    benchmark::ThroughputResult,
    admin::AdminStatusSummaryRequest,
    admin::AdminStatusSummaryResponse,
    admin::AdminSessionListRequest,
    admin::AdminSessionListResponse,
);
