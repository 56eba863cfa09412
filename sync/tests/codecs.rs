//! Both codecs read back what they write, mean the same, and survive any bytes.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tercet_engine::fact::{Effect, Fact, Install, Kind, Mark, Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{
    Attribute, Checkpoint, ClientId, ClientSeq, EntityId, Epoch, ReplicaId, Seq,
};
use tercet_engine::program::raw::{FindForm, Input};
use tercet_engine::value::Value;
use tercet_sync::buckets::BucketSums;
use tercet_sync::message::*;
use tercet_sync::wire_query::WireQuery;
use tercet_sync::wire_row::WireOutput;
use tercet_sync::{ClientMessage, Codec, Limits, ServerMessage};

const FRAME_BYTES_MAX: u64 = 4 << 20;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::int),
        any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
        any::<String>().prop_map(Value::from),
        "[a-z]{1,3}".prop_map(|id| Value::reference(&id).unwrap()),
    ]
}

fn entity() -> impl Strategy<Value = EntityId> {
    "[^\\p{C}]{1,9}".prop_map(|id| EntityId::new(id).unwrap())
}

fn attribute() -> impl Strategy<Value = Attribute> {
    "[a-z]{1,3}/[a-z]{1,3}".prop_map(|text| Attribute::new(text).unwrap())
}

fn hlc() -> impl Strategy<Value = Hlc> {
    (0..1_u64 << 48, any::<u16>(), any::<u64>())
        .prop_map(|(ms, counter, replica)| Hlc::new(ms, counter, ReplicaId(replica)))
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (hlc(), any::<u16>()).prop_map(|(hlc, op)| Stamp { hlc, op })
}

fn mark() -> impl Strategy<Value = Mark> {
    (stamp(), prop_oneof![Just(Kind::Set), Just(Kind::Add)])
        .prop_map(|(stamp, kind)| Mark { stamp, kind })
}

fn op() -> impl Strategy<Value = Op> {
    let covers = || proptest::option::of(stamp());
    prop_oneof![
        (entity(), attribute(), value()).prop_map(|(e, a, v)| Op::Set { e, a, v }),
        (entity(), attribute()).prop_map(|(e, a)| Op::Unset { e, a }),
        (entity(), attribute(), value()).prop_map(|(e, a, v)| Op::Add { e, a, v }),
        (entity(), attribute(), value(), covers()).prop_map(|(e, a, v, covers)| Op::Remove {
            e,
            a,
            v,
            covers
        }),
        entity().prop_map(|e| Op::Delete { e }),
        (entity(), covers()).prop_map(|(e, covers)| Op::Restore { e, covers }),
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    (entity(), attribute(), value()).prop_map(|(entity, attribute, value)| Fact {
        entity,
        attribute,
        value,
    })
}

fn install() -> impl Strategy<Value = Install> {
    prop_oneof![
        (fact(), mark()).prop_map(|(fact, mark)| Install::Fact(fact, mark)),
        fact().prop_map(Install::Retracted),
        fact().prop_map(Install::Released),
        (entity(), stamp()).prop_map(|(entity, stamp)| Install::Deleted(entity, stamp)),
        (entity(), stamp()).prop_map(|(entity, stamp)| Install::Restored(entity, stamp)),
    ]
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(epoch, seq)| Checkpoint { epoch: Epoch(epoch), seq: Seq(seq) })
}

fn input() -> impl Strategy<Value = Input> {
    let values = || proptest::collection::vec(value(), 0..3);
    prop_oneof![
        value().prop_map(Input::Scalar),
        values().prop_map(Input::Tuple),
        values().prop_map(Input::Collection),
        proptest::collection::vec(values(), 0..3).prop_map(Input::Relation),
    ]
}

fn query() -> impl Strategy<Value = WireQuery> {
    let texts = [
        "[:find ?n :where [?e :user/name ?n]]",
        "[:find (count ?p) . :in ?t % :where [?p :post/tag ?t] (hot ?p) :rules [[(hot ?p) [?p :a/b true]]]]",
        "[:find (pull ?e [* {:post/author [:user/name]}]) :where [?e :post/title] (not [?e :x/y 1.5])]",
        "[:find ?n :where [?e :user/name ?n] :order-by [[?n :desc]] :limit 3]",
    ];
    proptest::sample::select(texts.to_vec())
        .prop_map(|text| WireQuery::new(tercet_query_lang::parse(text).unwrap().raw))
}

fn resume() -> impl Strategy<Value = Resume> {
    let sums = (0_u32..4).prop_flat_map(|bits| {
        proptest::collection::vec(any::<u64>(), 1_usize << bits).prop_map(|sums| {
            let text: String = sums.iter().map(|sum| format!("{sum:016x}")).collect();
            serde_json::from_value::<BucketSums>(text.into()).unwrap()
        })
    });
    let checkpoint = proptest::option::of(checkpoint());
    (checkpoint, any::<u128>(), any::<bool>(), proptest::option::of(sums)).prop_map(
        |(checkpoint, sum, facts, buckets)| Resume {
            checkpoint,
            mode: if facts { InstanceMode::Facts } else { InstanceMode::Rows },
            fingerprint: Fingerprint(sum),
            buckets,
        },
    )
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    let hello = (any::<String>(), "[a-z]{1,5}", any::<u64>(), proptest::option::of(checkpoint()))
        .prop_map(|(key, client, number, position)| {
            ClientMessage::Hello(Hello {
                protocol: PROTOCOL,
                key,
                client: ClientId::new(client).unwrap(),
                last_number: ClientSeq(number),
                received: ClientSeq(number / 2),
                position,
            })
        });
    let mode = proptest::sample::select(vec![Mode::Auto, Mode::Facts, Mode::Rows]);
    let inputs = proptest::collection::vec(input(), 0..3);
    let subscribe = (any::<u64>(), query(), inputs, mode, proptest::option::of(resume())).prop_map(
        |(id, query, inputs, mode, resume)| {
            let subscription = SubscriptionId(id);
            ClientMessage::Subscribe(Subscribe { subscription, query, inputs, mode, resume })
        },
    );
    let push = (any::<u64>(), hlc(), proptest::collection::vec(op(), 0..5)).prop_map(
        |(number, hlc, ops)| {
            let transaction = Transaction { hlc, ops };
            ClientMessage::Push(Push { number: ClientSeq(number), transaction })
        },
    );
    prop_oneof![
        hello,
        subscribe,
        push,
        any::<u64>().prop_map(|id| {
            ClientMessage::Unsubscribe(Unsubscribe { subscription: SubscriptionId(id) })
        }),
        any::<u64>().prop_map(|n| ClientMessage::Received(Received { through: ClientSeq(n) })),
        any::<u64>().prop_map(|nonce| ClientMessage::Ping(Nonce { nonce })),
        any::<u64>().prop_map(|nonce| ClientMessage::Pong(Nonce { nonce })),
    ]
}

fn wire_output() -> impl Strategy<Value = WireOutput> {
    prop_oneof![
        value().prop_map(WireOutput::Value),
        proptest::collection::vec(value(), 0..3).prop_map(WireOutput::List),
        any::<String>().prop_map(WireOutput::Tree),
    ]
}

fn state() -> impl Strategy<Value = SubscribedState> {
    prop_oneof![
        Just(SubscribedState::Reset),
        Just(SubscribedState::Unchanged),
        Just(SubscribedState::Replay),
        (0_u8..17, proptest::collection::vec(any::<u32>(), 0..4))
            .prop_map(|(bits, cleared)| SubscribedState::Buckets { bits, cleared }),
    ]
}

fn server_message() -> impl Strategy<Value = ServerMessage> {
    let rows = || proptest::collection::vec(proptest::collection::vec(wire_output(), 0..3), 0..3);
    let effect = prop_oneof![
        Just(Effect::Applied),
        Just(Effect::Superseded),
        stamp().prop_map(|at| Effect::Deleted { at }),
    ];
    prop_oneof![
        (checkpoint(), hlc(), any::<u64>(), any::<bool>()).prop_map(
            |(position, clock, n, write)| {
                ServerMessage::Welcome(Welcome {
                    protocol: PROTOCOL,
                    session: SessionId(n),
                    server_time_ms: n,
                    drift_ms_max: 60_000,
                    limits: Limits::default(),
                    position,
                    clock,
                    last_number: ClientSeq(n),
                    write,
                })
            }
        ),
        (any::<u64>(), any::<u64>(), any::<String>(), state(), any::<u128>()).prop_map(
            |(id, instance, text, state, sum)| ServerMessage::Subscribed(Subscribed {
                subscription: SubscriptionId(id),
                instance: InstanceId(instance),
                mode: InstanceMode::Facts,
                columns: vec![text.clone()],
                form: FindForm::Tuple,
                state,
                fingerprint: Fingerprint(sum),
                warnings: vec![text],
            })
        ),
        any::<u64>().prop_map(|id| {
            ServerMessage::Compare(Compare { subscription: SubscriptionId(id) })
        }),
        (any::<u64>(), any::<bool>(), proptest::collection::vec(install(), 0..5)).prop_map(
            |(n, reset, installs)| ServerMessage::FactsPart(FactsPart {
                instance: InstanceId(n),
                seq: Seq(n),
                reset,
                installs,
            })
        ),
        (any::<u64>(), any::<bool>(), rows(), rows()).prop_map(|(n, reset, added, removed)| {
            let (instance, seq) = (InstanceId(n), Seq(n));
            ServerMessage::RowsPart(RowsPart { instance, seq, reset, added, removed })
        }),
        (checkpoint(), hlc())
            .prop_map(|(checkpoint, clock)| ServerMessage::Marker(Marker { checkpoint, clock })),
        (any::<u64>(), checkpoint(), proptest::collection::vec(effect, 0..4), hlc()).prop_map(
            |(n, checkpoint, effects, clock)| ServerMessage::Ack(Ack {
                number: ClientSeq(n),
                checkpoint,
                effects,
                clock,
            })
        ),
        (any::<u64>(), any::<String>(), proptest::option::of(any::<u16>()), hlc()).prop_map(
            |(n, text, op, clock)| ServerMessage::Reject(Reject {
                number: ClientSeq(n),
                code: text.clone(),
                message: text,
                op,
                clock,
            })
        ),
        (any::<u64>(), any::<String>()).prop_map(|(n, text)| ServerMessage::Refused(Refused {
            from_number: ClientSeq(n),
            code: text.clone(),
            server_time_ms: n,
            message: text,
        })),
        (any::<u64>(), any::<String>()).prop_map(|(n, text)| ServerMessage::Stale(Stale {
            instance: InstanceId(n),
            code: text.clone(),
            message: text,
        })),
        any::<String>().prop_map(|reason| ServerMessage::Resync(Resync { reason })),
        any::<u64>().prop_map(|nonce| ServerMessage::Ping(Nonce { nonce })),
        (any::<u64>(), checkpoint(), hlc()).prop_map(|(nonce, checkpoint, clock)| {
            ServerMessage::Pong(Pong { nonce, checkpoint, clock })
        }),
        (
            any::<String>(),
            proptest::option::of(any::<String>()),
            proptest::option::of(any::<u64>())
        )
            .prop_map(|(text, hint, id)| ServerMessage::Error(ErrorMessage {
                code: text.clone(),
                message: text,
                hint,
                subscription: id.map(SubscriptionId),
            })),
    ]
}

proptest! {
    #[test]
    fn client_messages_read_back(message in client_message()) {
        for codec in [Codec::Binary, Codec::Json] {
            let bytes = codec.encode_client(&message);
            prop_assert_eq!(codec.decode_client(&bytes, FRAME_BYTES_MAX), Ok(message.clone()));
        }
    }

    #[test]
    fn server_messages_read_back(message in server_message()) {
        for codec in [Codec::Binary, Codec::Json] {
            let bytes = codec.encode_server(&message);
            prop_assert_eq!(codec.decode_server(&bytes, FRAME_BYTES_MAX), Ok(message.clone()));
        }
    }

    /// Long enough for the packed form.
    #[test]
    fn long_lists_of_installs_read_back(
        n: u64,
        reset: bool,
        installs in proptest::collection::vec(install(), 20..80),
    ) {
        let part = FactsPart { instance: InstanceId(n), seq: Seq(!n), reset, installs };
        let message = ServerMessage::FactsPart(part);
        let bytes = Codec::Binary.encode_server(&message);
        prop_assert_eq!(Codec::Binary.decode_server(&bytes, FRAME_BYTES_MAX), Ok(message));
    }

    #[test]
    fn packed_bytes_are_a_part_or_an_error(bytes: Vec<u8>) {
        let bytes = [vec![0xfe], bytes].concat();
        let _ = Codec::Binary.decode_server(&bytes, FRAME_BYTES_MAX);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
        for codec in [Codec::Binary, Codec::Json] {
            let _ = codec.decode_client(&bytes, FRAME_BYTES_MAX);
            let _ = codec.decode_server(&bytes, FRAME_BYTES_MAX);
        }
    }

    #[test]
    fn damaged_messages_are_another_message_or_an_error(
        client in client_message(),
        server in server_message(),
        at: proptest::sample::Index,
        byte: u8,
        cut: proptest::sample::Index,
    ) {
        for codec in [Codec::Binary, Codec::Json] {
            for bytes in [codec.encode_client(&client), codec.encode_server(&server)] {
                let mut bytes = bytes.to_vec();
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
                // What is read is a message in its own right: it can be written again.
                if let Ok(message) = codec.decode_client(&bytes, FRAME_BYTES_MAX) {
                    codec.encode_client(&message);
                }
                if let Ok(message) = codec.decode_server(&bytes, FRAME_BYTES_MAX) {
                    codec.encode_server(&message);
                }
            }
            let bytes = codec.encode_client(&client);
            let start = &bytes[..cut.index(bytes.len())];
            prop_assert!(codec.decode_client(start, FRAME_BYTES_MAX).is_err());
        }
    }
}

#[test]
fn frames_have_a_size_and_nothing_follows_them() {
    let ping = ClientMessage::Ping(Nonce { nonce: 7 });
    for codec in [Codec::Binary, Codec::Json] {
        let bytes = codec.encode_client(&ping);
        let n_bytes = bytes.len() as u64;
        assert_eq!(codec.decode_client(&bytes, n_bytes), Ok(ping.clone()));
        assert_eq!(codec.decode_client(&bytes, n_bytes - 1).unwrap_err().code(), "frame_too_large");
        let followed = [&bytes[..], b"}"].concat();
        assert_eq!(codec.decode_client(&followed, 99).unwrap_err().code(), "malformed");
    }
}

#[test]
fn unknown_messages_and_fields_are_refused() {
    let decode = |json: &str| Codec::Json.decode_client(json.as_bytes(), FRAME_BYTES_MAX);
    assert!(decode(r#"{"ping":{"nonce":1}}"#).is_ok());
    for json in [r#"{"ping":{"nonce":1,"x":2}}"#, r#"{"pang":{"nonce":1}}"#, r#"{"ping":{}}"#, "[]"]
    {
        assert_eq!(decode(json).unwrap_err().code(), "malformed", "{json}");
    }
}
