//! Views against the generated types: the same bytes written, the same bytes accepted, the same
//! values.

use fastport_protocol::bytes::Bytes;
use fastport_protocol::commons::Header;
use fastport_protocol::prost::Message;
use fastport_protocol::views::{
    BenchmarkRequestView, BenchmarkResponseView, EchoRequestView, EchoResponseView, NoRoom,
    PingRequestView, PingResponseView, ThroughputDataView, ViewError,
};
use fastport_protocol::{benchmark, tests};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Ties a view to its generated type. The generated type's fields are all named, so a field added
/// to a message and forgotten in its view does not compile.
macro_rules! parity {
    ($module:ident, $message:path, $view:ident, {
        $($field:ident: $strategy:expr => $lend:expr,)*
    }) => {
        mod $module {
            use super::*;

            fn same(view: $view<'_>, message: &$message) -> bool {
                let $message { $($field),* } = message;
                view == $view { $($field: $lend),* }
            }

            /// Decodes with both: they agree on whether the bytes are a message, and on which.
            fn agree(bytes: &[u8]) {
                match ($view::decode(bytes), <$message>::decode(bytes)) {
                    (Ok(view), Ok(message)) => {
                        assert!(same(view, &message), "{view:?}, but {message:?}");
                    }
                    (Err(_), Err(_)) => (),
                    (view, message) => panic!("{view:?}, but {message:?}"),
                }
            }

            fn messages() -> impl Strategy<Value = $message> {
                ($($strategy,)*).prop_map(|($($field,)*)| {
                    // A shorthand cannot say which type; the path does.
                    type Message = $message;
                    Message { $($field),* }
                })
            }

            proptest! {
                #[test]
                fn the_same_bytes_are_written(message in messages()) {
                    let expected = message.encode_to_vec();
                    let view = $view::decode(&expected).unwrap();
                    prop_assert!(same(view, &message));
                    prop_assert_eq!(view.encoded_len(), expected.len());
                    let mut out = vec![0xEE; expected.len() + 11];
                    for room in [expected.len(), expected.len() + 3, expected.len() + 11] {
                        let out = &mut out[..room];
                        prop_assert_eq!(view.encode_into(out), Ok(expected.len()));
                        prop_assert_eq!(&out[..expected.len()], &expected[..]);
                        prop_assert!(out[expected.len()..].iter().all(|byte| *byte == 0xEE));
                    }
                    if let Some(room) = expected.len().checked_sub(1) {
                        let short = NoRoom { needed: expected.len(), room };
                        prop_assert_eq!(view.encode_into(&mut out[..room]), Err(short));
                    }
                }

                #[test]
                fn mutated_messages_are_judged_alike(
                    message in messages(),
                    mutations in vec(mutations(), 1..4),
                ) {
                    let mut bytes = message.encode_to_vec();
                    for mutation in mutations {
                        mutation.apply(&mut bytes);
                    }
                    agree(&bytes);
                }

                #[test]
                fn fields_in_any_order_are_judged_alike(bytes in fields(2)) {
                    agree(&bytes);
                }

                #[test]
                fn random_bytes_are_judged_alike(bytes in vec(any::<u8>(), 0..40)) {
                    agree(&bytes);
                }
            }
        }
    };
}

fn header() -> impl Strategy<Value = Option<Header>> {
    prop::option::of(
        (number(), number()).prop_map(|(request_id, timestamp_ms)| Header {
            request_id,
            timestamp_ms,
        }),
    )
}

/// Numbers of every length as a varint, zero more often than chance has it.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (any::<u64>(), 0..64u32).prop_map(|(n, shift)| n >> shift)
    ]
}

fn short() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        (any::<u32>(), 0..32u32).prop_map(|(n, shift)| n >> shift)
    ]
}

fn code() -> impl Strategy<Value = i32> {
    prop_oneof![0..4, any::<i32>()]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..100).prop_map(String::from_iter)
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    FlipBit(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        // The last index is the end, where there is room to insert but nothing to set.
        let room = bytes.len() + 1;
        match self {
            Self::Set(at, byte) => {
                if let Some(target) = bytes.get_mut(at.index(room)) {
                    *target = byte;
                }
            }
            Self::FlipBit(at, bit) => {
                if let Some(target) = bytes.get_mut(at.index(room)) {
                    *target ^= 1 << bit;
                }
            }
            Self::Insert(at, more) => {
                let at = at.index(room);
                bytes.splice(at..at, more);
            }
            Self::Cut(at) => bytes.truncate(at.index(room)),
            Self::Append(more) => bytes.extend(more),
        }
    }
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        (at(), fields(1)).prop_map(|(at, more)| Mutation::Insert(at, more)),
        at().prop_map(Mutation::Cut),
        fields(1).prop_map(Mutation::Append),
    ]
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7F {
        out.push(u8::try_from(value & 0x7F).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

/// Varints that a correct writer makes, those with needless bytes, and those of more than 64 bits.
fn varints() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => number().prop_map(varint),
        1 => (1..12usize, 0..4u8).prop_map(|(more, last)| [vec![0x80; more], vec![last]].concat()),
        1 => (1..12usize, 0..4u8).prop_map(|(more, last)| [vec![0xFF; more], vec![last]].concat()),
    ]
}

/// A sequence of fields that mostly have the right shape and mostly the wrong type: every number
/// that the messages use and a few that they do not, headers in headers, groups, repeated fields.
fn fields(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let content = if depth == 0 {
        vec(any::<u8>(), 0..12).boxed()
    } else {
        prop_oneof![
            2 => fields(depth - 1),
            1 => vec(any::<u8>(), 0..12),
            1 => text().prop_map(String::into_bytes),
        ]
        .boxed()
    };
    let value = prop_oneof![
        4 => varints().prop_map(|value| (0, value)),
        1 => any::<[u8; 8]>().prop_map(|value| (1, value.to_vec())),
        5 => (content.clone(), select(vec![0u64, 0, 0, 0, 0, 0, 1, 200])).prop_map(
            |(content, more)| (2, [varint(content.len() as u64 + more), content].concat())
        ),
        1 => any::<[u8; 4]>().prop_map(|value| (5, value.to_vec())),
        1 => any::<u8>().prop_map(|wire_type| (u64::from(wire_type & 7), Vec::new())),
    ];
    let numbers = prop_oneof![8 => 1..8u64, 1 => 0..40u64, 1 => number()];
    let field = (numbers, value, content, 0..10u8).prop_map(
        |(number, (wire_type, value), inside, group)| {
            let key = |wire_type| varint((number << 3) | wire_type);
            match group {
                0 => [key(3), inside, key(4)].concat(),
                _ => [key(wire_type), value].concat(),
            }
        },
    );
    vec(field, 0..5).prop_map(|fields| fields.concat()).boxed()
}

parity!(ping_request, tests::PingRequest, PingRequestView, {
    header: header() => *header,
    payload: text() => payload,
});

parity!(ping_response, tests::PingResponse, PingResponseView, {
    header: header() => *header,
    result: code() => *result,
    payload: text() => payload,
});

parity!(echo_request, tests::EchoRequest, EchoRequestView, {
    header: header() => *header,
    data: bytes() => data,
    data_str: text() => data_str,
});

parity!(echo_response, tests::EchoResponse, EchoResponseView, {
    header: header() => *header,
    result: code() => *result,
    data: bytes() => data,
    data_str: text() => data_str,
});

parity!(benchmark_request, benchmark::BenchmarkRequest, BenchmarkRequestView, {
    header: header() => *header,
    client_timestamp_ns: number() => *client_timestamp_ns,
    sequence: short() => *sequence,
    payload: bytes() => payload,
});

parity!(benchmark_response, benchmark::BenchmarkResponse, BenchmarkResponseView, {
    header: header() => *header,
    result: code() => *result,
    client_timestamp_ns: number() => *client_timestamp_ns,
    server_recv_timestamp_ns: number() => *server_recv_timestamp_ns,
    server_send_timestamp_ns: number() => *server_send_timestamp_ns,
    sequence: short() => *sequence,
    payload: bytes() => payload,
});

parity!(throughput_data, benchmark::ThroughputData, ThroughputDataView, {
    sequence: short() => *sequence,
    payload: bytes() => payload,
    is_last: any::<bool>() => *is_last,
});

/// What random search meets rarely or never, each with the verdict that both must give.
#[test]
fn corners_are_judged_alike() {
    let nested = |levels: usize| [vec![0x7B; levels], vec![0x7C; levels]].concat();
    let in_header = |inside: Vec<u8>| [vec![0x0A], varint(inside.len() as u64), inside].concat();
    let cases: [(&str, Vec<u8>, Result<(), ViewError>); 17] = [
        (
            "two headers are one",
            vec![0x0A, 2, 8, 7, 0x0A, 2, 16, 5],
            Ok(()),
        ),
        (
            "the last text wins",
            vec![0x1A, 1, b'a', 0x1A, 1, b'b'],
            Ok(()),
        ),
        (
            "an earlier text is judged too",
            vec![0x1A, 1, 0xFF, 0x1A, 0],
            Err(ViewError::Utf8 { number: 3 }),
        ),
        (
            "a surrogate is not UTF-8",
            vec![0x1A, 3, 0xED, 0xA0, 0x80],
            Err(ViewError::Utf8 { number: 3 }),
        ),
        ("number zero", vec![0x00, 0x00], Err(ViewError::Key)),
        ("a wire type of 6", vec![0x7E], Err(ViewError::Key)),
        (
            "a key of 33 bits",
            vec![0x80, 0x80, 0x80, 0x80, 0x10, 0],
            Err(ViewError::Key),
        ),
        (
            "a known field as a group",
            vec![0x13, 0x14],
            Err(ViewError::WireType { number: 2 }),
        ),
        ("an unknown group", vec![0x7B, 0x08, 1, 0x7C], Ok(())),
        ("groups to the limit", nested(100), Ok(())),
        ("groups past the limit", nested(101), Err(ViewError::Depth)),
        (
            "groups to the limit in a header",
            in_header(nested(99)),
            Ok(()),
        ),
        (
            "groups past the limit in a header",
            in_header(nested(100)),
            Err(ViewError::Depth),
        ),
        (
            "a header whose field leaves it",
            vec![0x0A, 1, 0x08, 0x07],
            Err(ViewError::Varint),
        ),
        (
            "a length of 2^64 - 1",
            [vec![0x12], varint(u64::MAX)].concat(),
            Err(ViewError::Truncated),
        ),
        ("a key without a value", vec![0x12], Err(ViewError::Varint)),
        (
            "an unknown field of 8 bytes, cut",
            vec![0x79, 0, 0],
            Err(ViewError::Truncated),
        ),
    ];
    for (what, bytes, verdict) in cases {
        assert_eq!(EchoRequestView::decode(&bytes).map(drop), verdict, "{what}");
        assert_eq!(
            tests::EchoRequest::decode(&bytes[..]).is_ok(),
            verdict.is_ok(),
            "{what}, prost"
        );
    }
    let merged = EchoRequestView::decode(&[0x0A, 2, 8, 7, 0x0A, 2, 16, 5]).unwrap();
    assert_eq!(
        merged.header,
        Some(Header {
            request_id: 7,
            timestamp_ms: 5
        })
    );
}
