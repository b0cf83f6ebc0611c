//! Bytes to requests and answers, and replies to bytes.

use std::hint::black_box;

use bytes::BytesMut;
use cfgserver::detect::parse_info;
use cfgserver::resp::{AnswerDecoder, AnswerLimits, Decoder, Limits, Protocol, Reply, encode, encode_request};
use criterion::{BatchSize, Criterion, Throughput};

use crate::fleet::info_of_replica;

/// Requests of one read.
const PIPELINED: u64 = 16;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(PIPELINED));
    let mut requests = BytesMut::new();
    for _ in 0..PIPELINED {
        encode_request(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "fleet-00000"], &mut requests);
    }
    group.bench_function("16 lookups", |bencher| {
        bencher.iter_batched_ref(
            || (Decoder::new(Limits::CLIENT), requests.clone()),
            |(decoder, bytes)| {
                while let Some(request) = decoder.decode(bytes).unwrap() {
                    black_box(request);
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(1));
    let info = info_of_replica("10.0.0.1", 7);
    let mut answer = BytesMut::new();
    encode(&Reply::bulk(&info), Protocol::Resp2, &mut answer);
    group.bench_function("an INFO, and its facts", |bencher| {
        bencher.iter_batched_ref(
            || (AnswerDecoder::new(AnswerLimits::INSTANCE), answer.clone()),
            |(decoder, bytes)| {
                let Ok(Some(Reply::Bulk(text))) = decoder.decode(bytes) else {
                    panic!("no answer")
                };
                parse_info(&text).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    let address = Reply::Array(vec![Reply::bulk("127.100.0.1"), Reply::bulk("7000")]);
    let message = Reply::Push(Reply::bulks([
        "message",
        "+switch-master",
        "a 10.0.0.1 6379 10.0.0.2 6379",
    ]));
    for (name, reply) in [("an address", address), ("a message", message)] {
        let mut out = BytesMut::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(black_box(&reply), Protocol::Resp2, &mut out);
            });
        });
    }
    group.finish();
}
