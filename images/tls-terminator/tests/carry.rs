//! What the image carries, over a wire and in memory.

use fata_conduit::{Conduit, Memory, Stream};
use fata_netstack::{Random, Stack};
use fata_resolve::{Config as Names, Resolver};
use fata_rt::Rt;
use fata_sim::alone;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tls_terminator::{Options, Totals, carry};

struct World {
    outside: Conduit,
    inside: Rc<Conduit>,
    totals: Rc<Cell<Totals>>,
}

fn run(words: &str, test: impl AsyncFnOnce(Rt, World)) {
    let options = Options::parse(words).unwrap();
    alone(async |rt| {
        let stacks = fata_ends::stacks(&rt, "ip=10.0.0.1/24", "ip=10.0.0.2/24");
        let (client, server) = fata_ends::tls(&rt, &["10.0.0.2"]);
        let memory = Memory::new();
        let resolver = Resolver::new(&stacks[0], &Random::known(3), Names::default());
        let inside = Conduit::new().with_stack(&stacks[1]).with_memory(&memory).with_tls_server(&server);
        let inside = Rc::new(inside);
        let totals = Rc::new(Cell::new(Totals::default()));
        for way in &options.ways {
            carry(&rt, &inside, way, options.wish, &totals).unwrap();
        }
        let outside = Conduit::new().with_names(&resolver).with_tls_client(&client);
        test(rt.clone(), World { outside, inside, totals: totals.clone() }).await;
        rt.sleep(Duration::from_secs(100)).await;
        assert_eq!(totals.get().open, 0);
        assert_eq!(stacks.each_ref().map(Stack::sockets), [(0, 0); 2]);
    });
}

async fn open(world: &World, to: &str) -> Stream {
    world.outside.connect(&to.parse().unwrap()).await.unwrap()
}

#[test]
fn connections_are_carried_and_counted() {
    run("listen=tcp://*:80 to=memory://web listen=tcp://*:81 to=memory://nobody", async |rt, world| {
        let listener = world.inside.listen(&"memory://web".parse().unwrap()).unwrap();
        let served = rt.spawn(async move {
            for _ in 0..3 {
                let stream = listener.accept().await.unwrap();
                assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 3);
                stream.write(b"answer").await.unwrap();
            }
        });
        for _ in 0..3 {
            let stream = open(&world, "tcp://10.0.0.2:80").await;
            stream.write(b"ask").await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 6);
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
        }
        served.await.unwrap();
        let stream = open(&world, "tcp://10.0.0.2:81").await;
        assert!(stream.read(&mut [0; 10]).await.is_err());
        rt.sleep(Duration::from_secs(1)).await;
        let said = world.totals.get().to_string();
        assert_eq!(said, "0 open, 3 carried, 0 broken, 1 unanswered, 0 refused, 9 bytes in, 18 out");
    });
}

/// Silence ends in a reset on the outside, and so does a break on the inside.
#[test]
fn what_breaks_or_is_silent_ends() {
    run("listen=tcp://*:80 to=memory://web idle=5 most=1", async |_, world| {
        let listener = world.inside.listen(&"memory://web".parse().unwrap()).unwrap();
        let silent = open(&world, "tcp://10.0.0.2:80").await;
        // It waits for its turn.
        let next = open(&world, "tcp://10.0.0.2:80").await;
        next.write(b"ask").await.unwrap();
        let inside = listener.accept().await.unwrap();
        assert!(silent.read(&mut [0; 10]).await.is_err());
        assert_eq!(inside.read(&mut [0; 10]).await.unwrap(), 0);
        let inside = listener.accept().await.unwrap();
        assert_eq!(inside.read(&mut [0; 10]).await.unwrap(), 3);
        drop(inside);
        // More is written than anybody inside reads.
        while next.write(&[0; 1000]).await.is_ok() {}
        assert!(
            next.read(&mut [0; 10]).await.is_ok_and(|len| len == 0) || next.read(&mut [0; 10]).await.is_err()
        );
        assert_eq!(world.totals.get().broken, 2);
    });
}

/// What is owed to a client over TLS that reads nothing, and the word that this was all, find no room.
#[test]
fn who_reads_nothing_over_tls_is_let_go_of() {
    run("listen=tls://*:443 to=memory://web idle=5 most=1", async |rt, world| {
        let listener = world.inside.listen(&"memory://web".parse().unwrap()).unwrap();
        let deaf = open(&world, "tls://10.0.0.2:443").await;
        deaf.finish().await.unwrap();
        let inside = listener.accept().await.unwrap();
        assert_eq!(inside.read(&mut [0; 10]).await.unwrap(), 0);
        while rt.timeout(Duration::from_secs(1), inside.write(&[7; 1000])).await.is_ok() {}
        drop(inside);
        // There is one place, and it is free again.
        let next = open(&world, "tls://10.0.0.2:443").await;
        next.write(b"ask").await.unwrap();
        assert_eq!(listener.accept().await.unwrap().read(&mut [0; 10]).await.unwrap(), 3);
        assert_eq!(world.totals.get().broken, 1);
        drop(deaf);
    });
}
