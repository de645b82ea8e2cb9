//! Every message of the wire format: what decodes encodes to something that decodes to the same,
//! and a view takes, shows and writes what the generated type does.

use fastport_protocol::prost::Message;
use fastport_protocol::views::{
    BenchmarkRequestView, BenchmarkResponseView, EchoRequestView, EchoResponseView,
    PingRequestView, PingResponseView, ThroughputDataView,
};
use fastport_protocol::{admin, benchmark, commons, tests};
use std::fmt::Debug;

/// Input: which message, and its bytes.
///
/// # Panics
/// When something does not come back the same, or a view and its generated type differ.
pub fn run(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    CHECKS[usize::from(*which) % CHECKS.len()](bytes);
}

const CHECKS: [fn(&[u8]); 22] = [
    view_of_ping_request,
    view_of_ping_response,
    view_of_echo_request,
    view_of_echo_response,
    view_of_benchmark_request,
    view_of_benchmark_response,
    view_of_throughput_data,
    stable::<tests::ErrorResponse>,
    stable::<commons::Empty>,
    stable::<commons::Header>,
    stable::<benchmark::BenchmarkStartRequest>,
    stable::<benchmark::BenchmarkStartResponse>,
    stable::<benchmark::BenchmarkEndRequest>,
    stable::<benchmark::BenchmarkEndResponse>,
    stable::<benchmark::ThroughputResult>,
    stable::<admin::AdminStatusSummaryRequest>,
    stable::<admin::AdminStatusSummaryResponse>,
    stable::<admin::AdminSessionListRequest>,
    stable::<admin::AdminSessionInfo>,
    stable::<admin::AdminSessionListResponse>,
    // The hot ones more often.
    view_of_echo_request,
    view_of_benchmark_request,
];

/// Decodes, encodes, and decodes what was encoded: that is the same, byte by byte.
fn stable<M: Message + Default + Debug>(bytes: &[u8]) {
    decoded::<M>(bytes);
}

fn decoded<M: Message + Default + Debug>(bytes: &[u8]) -> Option<(M, Vec<u8>)> {
    let message = M::decode(bytes).ok()?;
    let encoded = message.encode_to_vec();
    assert_eq!(encoded.len(), message.encoded_len());
    let again = M::decode(&encoded[..]).expect("what was encoded decodes");
    // By their bytes: a number that is none equals nothing, not even itself.
    assert_eq!(again.encode_to_vec(), encoded, "{again:?}, but {message:?}");
    Some((message, encoded))
}

/// Ties a view to its generated type. The generated type's fields are all named, so a field added
/// to a message and forgotten here does not compile.
macro_rules! view {
    ($check:ident, $message:path, $view:ident, { $($field:ident => $lend:expr,)* }) => {
        fn $check(bytes: &[u8]) {
            let (view, decoded) = ($view::decode(bytes), decoded::<$message>(bytes));
            let (Ok(view), Some((message, encoded))) = (&view, &decoded) else {
                let judged_alike = view.is_err() && decoded.is_none();
                return assert!(judged_alike, "{view:?}, but {decoded:?}");
            };
            let $message { $($field),* } = message;
            assert_eq!(view, &$view { $($field: $lend),* });
            assert_eq!(view.encoded_len(), encoded.len());
            let mut out = vec![0xEE; encoded.len() + 1];
            assert_eq!(view.encode_into(&mut out), Ok(encoded.len()));
            assert_eq!(&out[..encoded.len()], &encoded[..]);
            if let Some(room) = encoded.len().checked_sub(1) {
                assert!(view.encode_into(&mut out[..room]).is_err());
            }
        }
    };
}

view!(view_of_ping_request, tests::PingRequest, PingRequestView, {
    header => *header,
    payload => payload,
});

view!(view_of_ping_response, tests::PingResponse, PingResponseView, {
    header => *header,
    result => *result,
    payload => payload,
});

view!(view_of_echo_request, tests::EchoRequest, EchoRequestView, {
    header => *header,
    data => data,
    data_str => data_str,
});

view!(view_of_echo_response, tests::EchoResponse, EchoResponseView, {
    header => *header,
    result => *result,
    data => data,
    data_str => data_str,
});

view!(view_of_benchmark_request, benchmark::BenchmarkRequest, BenchmarkRequestView, {
    header => *header,
    client_timestamp_ns => *client_timestamp_ns,
    sequence => *sequence,
    payload => payload,
});

view!(view_of_benchmark_response, benchmark::BenchmarkResponse, BenchmarkResponseView, {
    header => *header,
    result => *result,
    client_timestamp_ns => *client_timestamp_ns,
    server_recv_timestamp_ns => *server_recv_timestamp_ns,
    server_send_timestamp_ns => *server_send_timestamp_ns,
    sequence => *sequence,
    payload => payload,
});

view!(view_of_throughput_data, benchmark::ThroughputData, ThroughputDataView, {
    sequence => *sequence,
    payload => payload,
    is_last => *is_last,
});
