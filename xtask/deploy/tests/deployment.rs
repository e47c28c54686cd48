//! What deployment files may say, and what is said of those that say something else.

use fata_deploy::{Deployment, Dom0, OnCrash, Start};

const THREE: &str = r#"
dom0 = "none"
[xen]
version = "4.20"
args = "loglvl=all"
[[domain]]
name = "sensor"
image = "mir-console"
memory_mib = 8
args = "one two"
devices = ["gpio"]
console = "none"

[[domain]]
name = "logger"
image = "./logger.img"
on_crash = "preserve"

[[vchan]]
name = "readings"
server = "logger"
client = "sensor"
size_kib = 128
"#;

#[test]
fn a_deployment_is_read() {
    let deployment = Deployment::parse("three.toml", THREE).unwrap();
    assert_eq!(deployment.dom0.value, Dom0::None);
    assert_eq!(deployment.xen_version.unwrap().value, "4.20");
    assert_eq!(deployment.xen_args.value, "loglvl=all");
    let [sensor, logger] = &deployment.domains[..] else { panic!("{:?}", deployment.domains) };
    assert_eq!((sensor.line, sensor.name.line, sensor.memory_mib.line), (6, 7, 9));
    assert_eq!((sensor.memory_mib.value, sensor.vcpus.value, sensor.vpl011), (8, 1, false));
    assert_eq!(sensor.devices[0].value, "gpio");
    assert_eq!((logger.memory_mib.value, logger.vpl011, logger.start), (16, true, Start::Xen));
    assert_eq!(logger.on_crash.value, OnCrash::Preserve);
    let [vchan] = &deployment.vchans[..] else { panic!("{:?}", deployment.vchans) };
    assert_eq!((vchan.server.value.as_str(), vchan.client.value.as_str()), ("logger", "sensor"));
    assert_eq!(vchan.bytes.value, 128 << 10);
}

#[test]
fn images_on_the_command_line_are_a_deployment() {
    let images = ["mir-console+files", "/tmp/a \"b\"/x.img", "mir-console+files"].map(str::to_owned);
    let deployment = Deployment::of_images(&images).unwrap();
    let names: Vec<_> = deployment.domains.iter().map(|it| it.name.value.as_str()).collect();
    assert_eq!(names, ["mir-console", "x", "mir-console-2"]);
    assert_eq!(deployment.domains[1].image.value, images[1]);
    let error = Deployment::of_images(&["a".to_owned(), "b".to_owned(), String::new()]).unwrap_err();
    assert!(error.to_string().starts_with("--app:3: "), "{error}");
}

/// A file with one domain of which `more` is said, from its fourth line on.
fn with(more: &str) -> String {
    format!("[[domain]]\nname = \"one\"\nimage = \"mir-console\"\n{more}")
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let error = Deployment::parse("x.toml", text).expect_err(text).to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
        assert!(line.contains("; "), "no cure: {line}");
    }
}

#[test]
fn what_is_not_understood_is_refused_where_it_stands() {
    refused("domain = 7", &["x.toml:1: invalid type: integer `7`"]);
    refused(&with("memmory_mib = 8"), &["x.toml:4: unknown field `memmory_mib`, expected one of"]);
    refused("[[domain]]\nname = \"one\"\n", &["x.toml:1: missing field `image`"]);
    refused(&with("devices = [\n  \"gpio\",\n  7]"), &["x.toml:6: invalid type: integer `7`"]);
    refused("\n\n[[domain", &["x.toml:3: "]);
    refused(&"#".repeat(2 << 20), &["x.toml:1: 2097152 bytes are too many"]);
    refused(
        &with("on_crash = \"panic\""),
        &["x.toml:4: on_crash = \"panic\" means nothing; say \"preserve\""],
    );
    refused(&format!("dom0 = \"nixos\"\n{}", with("")), &["x.toml:1: dom0 = \"nixos\" means nothing"]);
    refused(&with("console = \"uart\""), &["x.toml:4: console = \"uart\" means nothing"]);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    refused("", &["x.toml:1: there is no domain"]);
    refused(&with("memory_mib = 0"), &["x.toml:4: memory_mib = 0 is no amount of memory"]);
    refused(&with("memory_mib = -1"), &["x.toml:4: memory_mib = -1 is no amount"]);
    refused(&with("memory_mib = 16777216"), &["x.toml:4: memory_mib = 16777216 is no amount"]);
    refused(&with("vcpus = 0"), &["x.toml:4: vcpus = 0 is not in 1 to 128"]);
    refused(&with("load_at = 0x4a000010"), &["x.toml:4: load_at = 0x4a000010 is not on a page's boundary"]);
    refused(&with(&format!("args = {:?}", "x".repeat(1024))), &["x.toml:4: args are 1024 bytes long"]);
    refused(&with(r#"args = "a\u0000b""#), &["x.toml:4: args have a control character"]);
    let many: String = (0..31).map(|n| format!("[[domain]]\nname = \"d{n}\"\nimage = \"i\"\n")).collect();
    refused(&many, &["x.toml:91: there are 31 domains"]);
}

#[test]
fn names_are_good_and_their_own() {
    refused(
        "[[domain]]\nname = \"a b\"\nimage = \"\"\n",
        &["x.toml:2: \"a b\" is no", "x.toml:3: the image"],
    );
    refused("[[domain]]\nname = \"7\"\nimage = \"i\"\n", &["x.toml:2: \"7\" is no name for a domain"]);
    refused(
        &format!("{}{}", with(""), with("")),
        &["x.toml:5: there are two of the name one, the other on line 2"],
    );
}

#[test]
fn a_device_is_given_once() {
    let two = with("devices = [\"gpio\"]\n[[domain]]\nname = \"two\"\nimage = \"i\"\ndevices = [\"gpio\"]\n");
    refused(&two, &["x.toml:8: the device gpio is given to one already"]);
    refused(&with("devices = [\"gpio\",\n\"gpio\"]"), &["x.toml:5: the device gpio is given to one already"]);
}

#[test]
fn a_vchan_has_two_ends() {
    let vchan = |server: &str, client: &str, more: &str| {
        with(&format!(
            "[[domain]]\nname = \"two\"\nimage = \"i\"\n[[vchan]]\nname = \"v\"\nserver = {server:?}\nclient = {client:?}\n{more}"
        ))
    };
    assert!(Deployment::parse("x.toml", &vchan("one", "two", "")).is_ok());
    refused(&vchan("one", "one", ""), &["x.toml:10: this vchan goes from one to itself"]);
    refused(&vchan("one", "three", ""), &["x.toml:10: there is no domain three; there are one, two"]);
    refused(
        &vchan("one", "two", "size_kib = 6"),
        &["x.toml:11: size_kib = 6 is not a number of whole pages"],
    );
    let again = "[[vchan]]\nname = \"v\"\nserver = \"two\"\nclient = \"one\"\n";
    let twice = |domain| format!("x.toml:12: {domain} has two vchans of the name v, the other on line 8");
    refused(&vchan("one", "two", again), &[&twice("one"), &twice("two")]);
    let without = "[[vchan]]\nserver = \"two\"\nclient = \"one\"\n";
    let deployment = Deployment::parse("x.toml", &vchan("one", "two", without)).unwrap();
    let called = |n: usize, by| deployment.vchans[n].called_by(by);
    assert_eq!((called(0, "one"), called(0, "two")), (Some("v"), Some("v")));
    assert_eq!((called(1, "one"), called(1, "two"), called(1, "x")), (Some("two"), Some("one"), None));
    let xl = vchan("one", "two", "").replacen("image = \"i\"", "image = \"i\"\nstart = \"xl\"", 1);
    refused(&format!("dom0 = \"debian\"\n{xl}"), &["x.toml:12: two is started by xl"]);
}

#[test]
fn what_a_dom0_gives_needs_a_dom0() {
    refused(&with("disks = [\"vdev=xvda\"]"), &["x.toml:4: disks and network cards come from a dom0"]);
    refused(&with("start = \"xl\""), &["x.toml:4: xl runs in a dom0, and there is none"]);
    let debian = |more: &str| format!("dom0 = \"debian\"\n{}", with(more));
    let deployment = Deployment::parse("x.toml", &debian("vifs = [\"bridge=xenbr0\"]")).unwrap();
    assert_eq!(deployment.domains[0].start, Start::Xl);
    assert!(!deployment.domains[0].vpl011, "xl's domains have Xen's own console");
    refused(
        &debian("start = \"xen\"\nvifs = [\"bridge=xenbr0\"]"),
        &["x.toml:6: disks and network cards come from a dom0"],
    );
    refused(
        &debian("start = \"xl\"\ndevices = [\"gpio\"]\nload_at = 0x4a000000"),
        &["x.toml:6: devices are passed to domains that Xen starts", "x.toml:7: xl finds room"],
    );
}

#[test]
fn xen_restarts_nothing_by_itself() {
    refused(&with("on_crash = \"restart\""), &["x.toml:4: Xen by itself cannot restart a domain"]);
    let by_xl = format!("dom0 = \"debian\"\n{}", with("start = \"xl\"\non_crash = \"restart\""));
    assert_eq!(Deployment::parse("x.toml", &by_xl).unwrap().domains[0].on_crash.value, OnCrash::Restart);
}
