//! The dirty queue: the rules one by one, then against a naive model that keeps every mutation.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use tailswap::Error;
use tailswap::flusher::queue::{
    Amount, Batch, DirtyQueue, MUTATION_OVERHEAD, Mutation, PushError, Queued,
};
use tailswap::limits::{BODY_LEN_MAX, ID_LEN_MAX, SEQ_MAX};

fn set(id: &str, size: usize) -> Mutation {
    Mutation {
        id: id.into(),
        value: Some(vec![b'x'; size].into()),
        deleted: false,
        cas: 0,
        expiry: 0,
        flags: 0,
        datatype: 0,
        seq: None,
    }
}

fn set_at(id: &str, seq: u64) -> Mutation {
    Mutation { seq: Some(seq), ..set(id, 0) }
}

fn seqs(mutations: &[Queued]) -> Vec<u64> {
    mutations.iter().map(|queued| queued.seq).collect()
}

/// A queue without limit worth mentioning.
fn queue() -> DirtyQueue {
    DirtyQueue::new(0, u64::MAX)
}

fn push_all(queue: &mut DirtyQueue, ids: &[&str]) {
    for id in ids {
        queue.push(set(id, 0)).unwrap();
    }
}

#[test]
fn only_the_newest_mutation_of_an_id_is_kept_in_sequence_order() {
    let mut queue = DirtyQueue::new(10, u64::MAX);
    push_all(&mut queue, &["b", "a", "b", "c"]);
    let deletion = Mutation { deleted: true, value: None, cas: 9, ..set("a", 0) };
    assert_eq!(queue.push(deletion.clone()).unwrap(), 15);
    assert_eq!(queue.queued().mutations, 3);

    let batch = queue.take().unwrap();
    assert_eq!(seqs(batch.mutations()), [13, 14, 15]);
    assert_eq!(batch.high_seq(), 15);
    let expected = Queued { seq: 15, mutation: deletion, replaced: Some(12) };
    assert_eq!(batch.mutations()[2], expected);
    assert!(queue.done(batch));
}

#[test]
fn what_no_file_can_hold_is_not_queued_where_every_flush_would_fail_for_it() {
    let mut queue = queue();
    let error = queue.push(set("", 3)).unwrap_err();
    assert!(matches!(error, PushError::Invalid(Error::Invalid(_))), "{error}");
    assert_eq!((queue.queued(), queue.high_seq()), (Amount::default(), 0));
}

#[test]
fn given_sequence_numbers_go_up() {
    let mut queue = DirtyQueue::new(10, u64::MAX);
    assert_eq!(queue.push(set_at("a", 20)).unwrap(), 20);
    for seq in [0, 10, 19, 20] {
        let refused = queue.push(set_at("b", seq)).unwrap_err();
        assert!(matches!(refused, PushError::Invalid(Error::Invalid(_))));
    }
    assert_eq!(queue.push(set("b", 0)).unwrap(), 21);
    // Numbers in flight are taken too.
    let batch = queue.take().unwrap();
    assert!(queue.push(set_at("c", 21)).is_err());
    assert!(queue.done(batch));
    assert!(queue.push(set_at("c", 21)).is_err());
    assert_eq!(queue.high_seq(), 21);
}

#[test]
fn what_no_file_can_hold_is_refused() {
    let too_large = |mutation| {
        let refused = DirtyQueue::new(0, u64::MAX).push(mutation).unwrap_err();
        assert!(matches!(refused, PushError::Invalid(Error::TooLarge { .. })), "{refused}");
    };
    too_large(set(&"i".repeat(ID_LEN_MAX + 1), 0));
    too_large(Mutation { value: Some(vec![0; BODY_LEN_MAX + 1].into()), ..set("a", 0) });
    too_large(set_at("a", SEQ_MAX + 1));
    let mut queue = queue();
    queue.push(Mutation { seq: Some(SEQ_MAX), ..set(&"i".repeat(ID_LEN_MAX), 0) }).unwrap();
    let refused = queue.push(set("a", 0)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "sequence number is 281474976710656, more than the 281474976710655 that the format can hold"
    );
}

#[test]
fn a_full_queue_gives_the_mutation_back() {
    let one = MUTATION_OVERHEAD + 1 + 10;
    let mut queue = DirtyQueue::new(0, 2 * one);
    queue.push(set("a", 10)).unwrap();
    queue.push(set("b", 10)).unwrap();
    assert_eq!(queue.queued(), Amount { mutations: 2, bytes: 2 * one });
    match queue.push(set("c", 10)) {
        Err(PushError::Full(mutation)) => assert_eq!(mutation, set("c", 10)),
        other => panic!("{other:?}"),
    }
    assert_eq!(queue.high_seq(), 2, "a mutation that is refused takes no sequence number");
    assert!(queue.push(set("b", 11)).is_err());
    // Replacing needs no more room than before.
    queue.push(set("b", 10)).unwrap();

    // What is in flight counts until it is durable.
    let batch = queue.take().unwrap();
    assert_eq!(batch.amount(), Amount { mutations: 2, bytes: 2 * one });
    assert_eq!((queue.in_flight(), queue.queued()), (batch.amount(), Amount::default()));
    assert!(queue.push(set("c", 0)).is_err());
    assert!(queue.done(batch));
    assert_eq!(queue.in_flight(), Amount::default());
    queue.push(set("c", 0)).unwrap();
}

#[test]
fn a_mutation_larger_than_the_limit_is_queued_alone() {
    let mut queue = DirtyQueue::new(0, 10);
    queue.push(set("a", 1000)).unwrap();
    assert!(queue.push(set("b", 0)).is_err());
    queue.push(set("a", 2000)).unwrap();
    let batch = queue.take().unwrap();
    assert!(queue.push(set("b", 1000)).is_err());
    assert!(queue.done(batch));
    queue.push(set("b", 1000)).unwrap();
}

#[test]
fn one_batch_is_in_flight_at_a_time() {
    let mut queue = queue();
    assert!(queue.take().is_none());
    push_all(&mut queue, &["a"]);
    let batch = queue.take().unwrap();
    push_all(&mut queue, &["b"]);
    assert!(queue.take().is_none());
    assert!(queue.done(batch));
    assert_eq!(seqs(queue.take().unwrap().mutations()), [2]);
}

#[test]
fn a_failed_batch_is_queued_again_unless_replaced() {
    let mut queue = queue();
    push_all(&mut queue, &["a", "b", "c", "b"]);
    let batch = queue.take().unwrap();
    assert_eq!(seqs(batch.mutations()), [1, 3, 4]);
    push_all(&mut queue, &["d", "b"]);
    assert!(queue.fail(batch));
    assert_eq!(queue.in_flight(), Amount::default());
    assert_eq!(queue.queued(), Amount { mutations: 4, bytes: 4 * (MUTATION_OVERHEAD + 1) });
    let batch = queue.take().unwrap();
    assert_eq!(seqs(batch.mutations()), [1, 3, 5, 6]);
    assert_eq!(batch.mutations()[3].replaced, Some(2));
    assert!(queue.done(batch));
}

#[test]
fn going_back_within_the_queue_removes_what_is_above() {
    let mut queue = queue();
    push_all(&mut queue, &["a", "b", "c"]);
    let batch = queue.take().unwrap();
    push_all(&mut queue, &["d", "a", "e"]);
    assert!(queue.clear_above(6).unwrap().is_empty());
    assert!(queue.clear_above(100).unwrap().is_empty());
    assert_eq!(queue.high_seq(), 6);
    assert_eq!(seqs(&queue.clear_above(4).unwrap()), [5, 6]);
    assert_eq!((queue.high_seq(), queue.queued().mutations), (4, 1));
    // The id that was removed with its mutation is free.
    assert_eq!(queue.push(set("a", 0)).unwrap(), 5);
    assert!(queue.fail(batch));
    assert_eq!(seqs(queue.take().unwrap().mutations()), [2, 3, 4, 5]);
}

#[test]
fn going_back_to_a_state_that_is_gone_is_refused() {
    let mut queue = queue();
    push_all(&mut queue, &["a", "b", "a"]);
    assert!(matches!(queue.clear_above(2), Err(Error::Invalid(_))), "a at 1 was replaced");
    assert!(queue.clear_above(1).is_err());
    assert_eq!(queue.queued().mutations, 2);
    assert_eq!(seqs(&queue.clear_above(0).unwrap()), [2, 3]);

    push_all(&mut queue, &["a", "b"]);
    let batch = queue.take().unwrap();
    assert!(queue.clear_above(1).is_err(), "b at 2 is being written");
    assert!(queue.clear_above(2).unwrap().is_empty());
    assert!(queue.done(batch));
}

#[test]
fn a_reset_forgets_everything_and_disowns_the_batch_in_flight() {
    let mut queue = queue();
    push_all(&mut queue, &["a", "b"]);
    let [first, second] = [0, 1].map(|_| {
        let batch = queue.take().unwrap();
        assert!(queue.is_current(&batch));
        push_all(&mut queue, &["c", "d"]);
        let high = queue.high_seq();
        assert_eq!(seqs(&queue.reset(1)), [high - 1, high]);
        assert!(!queue.is_current(&batch));
        assert_eq!((queue.queued(), queue.in_flight()), Default::default());
        assert_eq!(queue.high_seq(), 1);
        push_all(&mut queue, &["e", "f"]);
        batch
    });
    let current = queue.take().unwrap();
    assert!(!queue.fail(first));
    assert!(!queue.done(second));
    assert!(queue.is_current(&current));
    assert_eq!((queue.queued().mutations, queue.in_flight().mutations), (0, 2));
    assert!(queue.done(current));
}

#[derive(Clone, Debug)]
enum Op {
    Push { id: u8, size: usize, gap: Option<u64> },
    Take,
    Done,
    Fail,
    ClearAbove { back: u64 },
    Reset { back: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let gap = proptest::option::weighted(0.3, 0..3u64);
    prop_oneof![
        12 => (0..5u8, 0..60usize, gap).prop_map(|(id, size, gap)| Op::Push { id, size, gap }),
        3 => Just(Op::Take),
        2 => Just(Op::Done),
        2 => Just(Op::Fail),
        1 => (0..6u64).prop_map(|back| Op::ClearAbove { back }),
        1 => (0..6u64).prop_map(|back| Op::Reset { back }),
    ]
}

/// Every mutation that is not durable, those that were replaced too.
#[derive(Default)]
struct Model {
    queued: Vec<(u64, Mutation)>,
    flying: Vec<(u64, Mutation)>,
}

fn newest(all: &[(u64, Mutation)]) -> Vec<(u64, &Mutation)> {
    let replaced = |at: usize| all[at + 1..].iter().any(|(_, newer)| newer.id == all[at].1.id);
    (0..all.len()).filter(|at| !replaced(*at)).map(|at| (all[at].0, &all[at].1)).collect()
}

fn amount(all: &[(u64, Mutation)]) -> Amount {
    let newest = newest(all);
    let bytes = newest.iter().map(|(_, mutation)| mutation.bytes()).sum();
    Amount { mutations: newest.len() as u64, bytes }
}

fn pairs(queued: &[Queued]) -> Vec<(u64, &Mutation)> {
    queued.iter().map(|queued| (queued.seq, &queued.mutation)).collect()
}

proptest! {
    #[test]
    fn it_behaves_as_the_model(
        ops in prop::collection::vec(op(), 1..80),
        limit in prop_oneof![Just(u64::MAX), 1..1500u64],
    ) {
        let mut queue = DirtyQueue::new(100, limit);
        let mut model = Model::default();
        let mut high = 100;
        let mut flight: Option<Batch> = None;
        for op in ops {
            match op {
                Op::Push { id, size, gap } => {
                    let seq = gap.map(|gap| high + gap);
                    let mutation = Mutation { seq, ..set(&id.to_string(), size) };
                    let seq = seq.unwrap_or(high + 1);
                    let before = amount(&model.queued).bytes;
                    let mut after = model.queued.clone();
                    after.push((seq, mutation.clone()));
                    let total = amount(&after).bytes + amount(&model.flying).bytes;
                    let fits = amount(&after).bytes <= before
                        || total <= limit
                        || total == mutation.bytes();
                    match queue.push(mutation.clone()) {
                        Ok(given) => {
                            prop_assert!(fits && seq > high);
                            prop_assert_eq!(given, seq);
                            high = seq;
                            model.queued = after;
                        }
                        Err(PushError::Full(back)) => {
                            prop_assert!(!fits && seq > high);
                            prop_assert_eq!(back, mutation);
                        }
                        Err(PushError::Invalid(_)) => prop_assert!(seq <= high),
                    }
                }
                Op::Take => match queue.take() {
                    Some(batch) => {
                        prop_assert!(flight.is_none());
                        prop_assert_eq!(pairs(batch.mutations()), newest(&model.queued));
                        prop_assert_eq!(batch.amount(), amount(&model.queued));
                        prop_assert_eq!(batch.high_seq(), model.queued.last().unwrap().0);
                        model.flying = std::mem::take(&mut model.queued);
                        flight = Some(batch);
                    }
                    None => prop_assert!(flight.is_some() || model.queued.is_empty()),
                },
                Op::Done => {
                    if let Some(batch) = flight.take() {
                        prop_assert!(queue.done(batch));
                        model.flying.clear();
                    }
                }
                Op::Fail => {
                    if let Some(batch) = flight.take() {
                        prop_assert!(queue.fail(batch));
                        model.flying.append(&mut model.queued);
                        model.queued = std::mem::take(&mut model.flying);
                    }
                }
                Op::ClearAbove { back } => {
                    let seq = high - back;
                    let (kept, gone): (Vec<_>, Vec<_>) =
                        model.queued.iter().cloned().partition(|(at, _)| *at <= seq);
                    let lost = newest(&model.queued).len() != newest(&kept).len() + newest(&gone).len();
                    let flying = model.flying.last().is_some_and(|(at, _)| *at > seq);
                    match queue.clear_above(seq) {
                        Ok(removed) => {
                            prop_assert!(!lost && !flying);
                            prop_assert_eq!(pairs(&removed), newest(&gone));
                            model.queued = kept;
                            high = seq;
                        }
                        Err(_) => prop_assert!(lost || flying),
                    }
                }
                Op::Reset { back } => {
                    high -= back;
                    let removed = queue.reset(high);
                    prop_assert_eq!(pairs(&removed), newest(&model.queued));
                    if let Some(batch) = flight.take() {
                        prop_assert!(!queue.done(batch));
                    }
                    model = Model::default();
                }
            }
            prop_assert_eq!(queue.high_seq(), high);
            prop_assert_eq!(queue.queued(), amount(&model.queued));
            prop_assert_eq!(queue.in_flight(), amount(&model.flying));
        }
    }
}
