//! Every operation, on disks of every kind.

mod common;

use common::{Machine, SECTORS, read, sectors, write};
use fata_block::Options;
use fata_disk::BlockDevice;
use fata_sim::{Features, Rng};

#[test]
fn what_is_written_is_read_and_on_the_disk() {
    let machine = Machine::new(Options::default(), Features::default());
    let mut rng = Rng::new();
    let (disk, medium) = (&machine.disk, machine.back.medium());
    machine.run(async {
        disk.ready().await.unwrap();
        assert_eq!(disk.geometry().sectors, SECTORS);
        for (sector, count) in [(0, 1), (7, 3), (100, 8), (1000, 88), (1001, 89), (2000, 2000), (4095, 1)] {
            let bytes = sectors(&mut rng, count);
            write(disk, sector, &bytes).await;
            assert!(medium.read(sector..sector + count) == bytes);
            assert!(read(disk, sector, count).await == bytes);
        }
    });
    machine.finish();
}
