//! Serving a load, and being one.

use crate::command::{Command, Job, Kind};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_devices::vchan::{Place, Wish, close};
use fata_kit::{Gone, Terminal, words};
use fata_rt::Rt;
use fata_vchan::{Error, Meeting as _, Vchan, connect, listen};
use xen_hyp::{Platform, Xen};

/// Does what the command line says, and says what it took.
pub async fn app<P: Platform, C: Read + Write>(
    rt: Rt,
    xen: Rc<Xen<P>>,
    console: C,
    cmdline: &str,
) -> Result<(), Gone> {
    let mut terminal = Terminal::new(console);
    match run(&rt, &xen, &mut terminal, cmdline).await? {
        Ok(()) => terminal.say("SUCCESS\n").await,
        Err(reason) => terminal.print(&|out| writeln!(out, "FAILURE: {reason}")).await,
    }
}

async fn run<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    cmdline: &str,
) -> Result<Result<(), String>, Gone> {
    let mut wish = Wish::new("bench");
    wish.path = Some("data/vchan".into());
    let mut jobs = Vec::new();
    for (name, value) in words(cmdline) {
        let understood = match name {
            "bench" => value.split(';').try_for_each(|job| Job::parse(job).map(|job| jobs.push(job))),
            _ => wish.word(name, value),
        };
        if understood.is_none() {
            return Ok(Err(format!("the command line makes no sense at {name:?}")));
        }
    }
    let store = match fata_devices::store(rt, xen) {
        Ok(store) => store,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let place = match wish.place(xen, store.as_ref()) {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Err("this domain has no Xenstore, and the command line no port".into())),
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    if wish.serve {
        return serve(rt, xen, terminal, &wish, &place).await;
    }
    let vchan = match connect(xen, &place, wish.orders).await {
        Ok(vchan) => vchan,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    terminal.print(&|out| writeln!(out, "vchan connected: {vchan:?}")).await?;
    for job in jobs {
        let start_ns = rt.now_ns();
        if let Err(error) = load(&vchan, job).await {
            return Ok(Err(format!("{job}: {error}")));
        }
        let ns = rt.now_ns() - start_ns;
        terminal.print(&|out| writeln!(out, "{job} ns {ns}")).await?;
    }
    close(rt, xen, vchan).await;
    Ok(Ok(()))
}

async fn serve<P: Platform, C: Read + Write>(
    rt: &Rt,
    xen: &Rc<Xen<P>>,
    terminal: &mut Terminal<C>,
    wish: &Wish,
    place: &Place<P>,
) -> Result<Result<(), String>, Gone> {
    loop {
        let listener = match listen(xen, place, wish.orders.unwrap_or(Wish::ORDERS)).await {
            Ok(listener) => listener,
            Err(error) => return Ok(Err(format!("{error}"))),
        };
        terminal.say("vchan ready\n").await?;
        let vchan = listener.accept().await;
        let end = obey(&vchan).await;
        let withdrawn = place.withdraw().await;
        close(rt, xen, vchan).await;
        if let Err(error) = end.and(withdrawn) {
            return Ok(Err(format!("{error}")));
        }
    }
}

/// Does what is asked for, until the end.
async fn obey<P: Platform>(vchan: &Vchan<P>) -> Result<(), Error> {
    let mut buffer = Vec::new();
    loop {
        let mut command = [0; Command::SIZE];
        match vchan.recv(&mut command).await {
            Ok(()) => {}
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
        let Command { kind, block, count } = Command::decode(&command).ok_or(Error::Corrupt)?;
        buffer.resize(block, 0x5a);
        match kind {
            Kind::Receive => {
                receive(vchan, &mut buffer, count).await?;
                vchan.send(b"k").await?;
            }
            Kind::Send => send(vchan, &buffer, count).await?,
            Kind::Echo => {
                for _ in 0..count {
                    receive(vchan, &mut buffer, block as u64).await?;
                    send(vchan, &buffer, block as u64).await?;
                }
            }
        }
    }
}

/// Has the server do it, and does our part.
async fn load<P: Platform>(vchan: &Vchan<P>, job: Job) -> Result<(), Error> {
    let command = job.command();
    let mut buffer = alloc::vec![0x5a; job.block];
    vchan.send(&command.encode()).await?;
    match job.kind {
        Kind::Receive => {
            send(vchan, &buffer, command.count).await?;
            vchan.recv(&mut [0]).await
        }
        Kind::Send => receive(vchan, &mut buffer, command.count).await,
        Kind::Echo => {
            for _ in 0..job.count {
                send(vchan, &buffer, job.block as u64).await?;
                receive(vchan, &mut buffer, job.block as u64).await?;
            }
            Ok(())
        }
    }
}

async fn receive<P: Platform>(vchan: &Vchan<P>, buffer: &mut [u8], mut bytes: u64) -> Result<(), Error> {
    while bytes > 0 {
        let at_most = buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        match vchan.read(&mut buffer[..at_most]).await? {
            0 => return Err(Error::Closed),
            len => bytes -= len as u64,
        }
    }
    Ok(())
}

async fn send<P: Platform>(vchan: &Vchan<P>, buffer: &[u8], mut bytes: u64) -> Result<(), Error> {
    while bytes > 0 {
        let mut rest = &buffer[..buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        bytes -= rest.len() as u64;
        while !rest.is_empty() {
            rest = &rest[vchan.write(rest).await?..];
        }
    }
    Ok(())
}
