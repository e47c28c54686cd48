//! What is packed is found again, and what is damaged is not served.

use fata_site::pack::{Entry, PackError, compress, pack, read};
use fata_site::{Encoding, Error, Found, Site};
use std::fs;

const CHANGED: u64 = 1_700_000_000;

/// A small site, all in all.
fn entries() -> Vec<Entry> {
    let file = |path: &str, text: &str| Entry::new(path, text);
    vec![
        file("/index.html", "<h1>home</h1>"),
        file("/404.html", "<h1>nowhere</h1>"),
        file("/about.html", "<h1>about</h1>"),
        file("/blog/index.html", "<h1>blog</h1>"),
        file("/blog/one.html", "<h1>one</h1>"),
        file("/blog/a b.txt", "blank"),
        file("/blog/ä.txt", "umlaut"),
        file("/blog.css", "h1 { color: red }"),
        file("/twin.html", "<h1>about</h1>"),
        file(
            "/_redirects",
            "# where pages were\n/old/*  /blog/:splat\n\n/gone/* / 302\n/feed https://feeds.example/x 307\r\n\
             /a%20b /about\n/about /never\n/away/* https://other.example/:splat 308",
        ),
        file(
            "/_headers",
            "/*\n  X-Frame-Options: DENY\n  Cache-Control: max-age=60\n\n/blog/*\n\tcache-control: no-store\n/*.css\n X: y",
        ),
    ]
}

fn blob() -> Vec<u8> {
    pack(entries(), CHANGED).unwrap()
}

/// What a path leads to, in words.
fn found(site: &Site<'_>, path: &str) -> String {
    match site.find(path) {
        Found::File(file) => file.path.into(),
        Found::Redirect(redirect) => format!("{} {redirect}", redirect.status),
        Found::Missing(file) => format!("404 {}", file.map_or("", |file| file.path)),
    }
}

#[test]
fn paths_lead_where_they_should() {
    let blob = blob();
    let site = Site::open(&blob).unwrap();
    assert_eq!((site.len(), site.changed(), site.bytes()), (9, CHANGED, blob.len()));
    for (path, to) in [
        ("/", "/index.html"),
        ("/index.html", "/index.html"),
        ("/about.html", "/about.html"),
        ("/about", "/about.html"),
        ("/about/", "404 /404.html"),
        ("/blog", "301 /blog/"),
        ("/blog/", "/blog/index.html"),
        ("/blog/one", "/blog/one.html"),
        ("/blog/a b.txt", "/blog/a b.txt"),
        ("/blog/ä.txt", "/blog/ä.txt"),
        ("/blog.css", "/blog.css"),
        ("/blog.cs", "404 /404.html"),
        ("/blog.css/", "404 /404.html"),
        ("", "404 /404.html"),
        ("about.html", "404 /404.html"),
        ("//blog", "404 /404.html"),
        ("/_redirects", "404 /404.html"),
        ("/old/x y", "301 /blog/x%20y"),
        ("/old/", "301 /blog/"),
        ("/old", "301 /blog/"),
        ("/older", "404 /404.html"),
        // Nobody is led to other hosts, and no header ends early.
        ("/old//evil.example/", "301 /blog/evil.example/"),
        ("/old/\\evil.example/", "301 /blog/%5Cevil.example/"),
        ("/old/a\r\nb: c", "301 /blog/a%0D%0Ab:%20c"),
        ("/gone/for good", "302 /"),
        ("/feed", "307 https://feeds.example/x"),
        ("/feed/", "404 /404.html"),
        ("/a b", "301 /about"),
        ("/away/x?", "308 https://other.example/x%3F"),
    ] {
        assert_eq!(found(&site, path), to, "{path:?}");
    }
}

#[test]
fn files_say_what_they_are() {
    let blob = blob();
    let site = Site::open(&blob).unwrap();
    let file = |path| match site.find(path) {
        Found::File(file) => file,
        other => panic!("{other:?}"),
    };
    assert_eq!(file("/").mime, "text/html; charset=utf-8");
    assert_eq!(file("/").plain().bytes, b"<h1>home</h1>");
    assert_eq!(file("/").headers, "X-Frame-Options: DENY\r\nCache-Control: max-age=60\r\n");
    assert_eq!(file("/blog/one").headers, "X-Frame-Options: DENY\r\ncache-control: no-store\r\n");
    assert_eq!(file("/blog.css").headers, "X-Frame-Options: DENY\r\nCache-Control: max-age=60\r\nX: y\r\n");
    let tag = |path| file(path).variant(Encoding::Identity).unwrap().etag;
    // printf '<h1>about</h1>' | sha256sum, the first half of it in base64.
    assert_eq!(tag("/about"), "\"fJ2o1sXz5r95cRyY-kJNOQ\"");
    assert_eq!(tag("/twin"), tag("/about"));
    assert_ne!(tag("/"), tag("/about"));
    // Twins are kept once.
    assert_eq!(file("/about").plain().bytes.as_ptr(), file("/twin").plain().bytes.as_ptr());
    assert_eq!(site.files().map(|file| file.path).collect::<Vec<_>>().len(), 9);
    assert!(site.files().map(|file| file.path).is_sorted());
}

#[test]
fn the_same_files_make_the_same_bytes() {
    let mut backwards = entries();
    backwards.reverse();
    assert_eq!(pack(backwards, CHANGED), Ok(blob()));
    assert_ne!(pack(entries(), CHANGED + 1), Ok(blob()));
}

#[test]
fn what_is_worth_it_is_compressed_and_remembered() {
    let dir = std::env::temp_dir().join(format!("fata-site-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let page: String = (0..500).map(|number| format!("<p>paragraph {number}</p>\n")).collect();
    let mut files = vec![
        Entry::new("/page.html", page.as_bytes()),
        Entry::new("/short.html", "<p>"),
        Entry::new("/photo.jpg", page.as_bytes()),
    ];
    assert_eq!(compress(&mut files, Some(&dir)), 1);
    let plain = files.clone();
    assert_eq!(compress(&mut files, Some(&dir)), 0);
    assert_eq!(files, plain);
    assert_eq!(compress(&mut files, None), 1);
    assert_eq!(files, plain);
    fs::remove_dir_all(&dir).unwrap();
    let blob = pack(files, CHANGED).unwrap();
    let site = Site::open(&blob).unwrap();
    let forms = |path| {
        let Found::File(file) = site.find(path) else { panic!("{path}") };
        file.variants().map(|form| (form.encoding, form.bytes.to_vec())).collect::<Vec<_>>()
    };
    let [(Encoding::Identity, plain), (Encoding::Gzip, gzip), (Encoding::Brotli, brotli)] =
        &forms("/page.html")[..]
    else {
        panic!("other forms")
    };
    assert_eq!(plain, page.as_bytes());
    let mut unpacked = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, page.as_bytes());
    unpacked.clear();
    brotli::BrotliDecompress(&mut &brotli[..], &mut unpacked).unwrap();
    assert_eq!(unpacked, page.as_bytes());
    assert!(gzip.len() < page.len() / 4 && brotli.len() < gzip.len());
    assert_eq!((forms("/short.html").len(), forms("/photo.jpg").len()), (1, 1));
}

#[test]
fn a_directory_is_read_without_what_is_hidden() {
    let dir = std::env::temp_dir().join(format!("fata-site-dir-{}", std::process::id()));
    let outside = dir.with_extension("outside");
    fs::create_dir_all(dir.join("blog/.git")).unwrap();
    fs::create_dir_all(dir.join(".well-known")).unwrap();
    fs::write(&outside, "secret").unwrap();
    for path in ["index.html", "blog/one.html", "blog/.git/config", ".htaccess", ".well-known/security.txt"] {
        fs::write(dir.join(path), path).unwrap();
    }
    std::os::unix::fs::symlink("one.html", dir.join("blog/link.html")).unwrap();
    let files = read(&dir).unwrap();
    let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["/.well-known/security.txt", "/blog/link.html", "/blog/one.html", "/index.html"]);
    assert_eq!(files[1].bytes, b"blog/one.html");
    std::os::unix::fs::symlink(&outside, dir.join("out.html")).unwrap();
    let error = read(&dir).unwrap_err().to_string();
    assert!(error.contains("out.html: a link that leads to no file of the directory"), "{error}");
    fs::remove_dir_all(&dir).unwrap();
    fs::remove_file(&outside).unwrap();
    assert!(read(&dir).is_err());
}

#[test]
fn rules_that_make_no_sense_are_refused_by_line() {
    for (file, text, line) in [
        ("/_redirects", "/a /b\n/c", 2),
        ("/_redirects", "a /b", 1),
        ("/_redirects", "/a* /b", 1),
        ("/_redirects", "/a/*/b /b", 1),
        ("/_redirects", "/a/:year /b", 1),
        ("/_redirects", "/a?b/* /b", 1),
        ("/_redirects", "/a /b/:splat", 1),
        ("/_redirects", "/a/* /b:splat", 1),
        ("/_redirects", "/a/* https://b.example:splat", 1),
        ("/_redirects", "/a //b.example", 1),
        ("/_redirects", "/a javascript:alert(1)", 1),
        ("/_redirects", "/a /b 200", 1),
        ("/_redirects", "/a /b 301 x", 1),
        ("/_redirects", "/a /ä", 1),
        ("/_redirects", "/%zz /b", 1),
        ("/_headers", "\n  A: b", 2),
        ("/_headers", "/*\n  A", 2),
        ("/_headers", "/*\n  A b: c", 2),
        ("/_headers", "/*\n  A: ", 2),
        ("/_headers", "/*\n  A: \u{e4}", 2),
        ("/_headers", "/*\n  A: b\u{7}c", 2),
        ("/_headers", "/*\n  content-LENGTH: 5", 2),
        ("/_headers", "a", 1),
        ("/_headers", "/*/*", 1),
    ] {
        match pack(vec![Entry::new(file, text)], 0) {
            Err(PackError::Rule { file: at, line: number, .. }) => {
                assert_eq!((at, number), (file, line), "{text}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(pack(vec![Entry::new("/a", ""), Entry::new("/a", "")], 0), Err(PackError::Twice("/a".into())));
    for path in ["", "a", "//a", "/../a", "/a/", "/a\nb"] {
        assert_eq!(pack(vec![Entry::new(path, "")], 0), Err(PackError::Path(path.into())));
    }
}

#[test]
fn every_cut_is_an_error() {
    let blob = blob();
    for length in 0..blob.len() {
        assert!(Site::open(&blob[..length]).is_err(), "cut to {length}");
    }
    let mut longer = blob;
    longer.extend_from_slice(&[0xff; 500]);
    assert_eq!(Site::open(&longer).unwrap().len(), 9);
    let length = longer.len() as u64 - 500;
    assert_eq!(Site::length(&longer[..Site::BEGIN]), Some(length));
    assert_eq!(Site::length(&longer[..Site::BEGIN - 20]), None);
}

/// Whatever one bit says, there is an error, or a site of which all can be looked at.
#[test]
fn no_bit_breaks_it() {
    let mut blob = blob();
    let tables = 40 + 9 * (32 + 48) + 6 * 24 + 400;
    for at in 0..tables * 8 {
        blob[at / 8] ^= 1 << (at % 8);
        if let Ok(site) = Site::open(&blob) {
            for file in site.files() {
                assert!(file.variants().count() > 0 && file.path.starts_with('/'));
                assert!(!file.headers.contains("\r\n\r\n"));
            }
            for path in ["/", "/about", "/old/x", "/feed", "/blog"] {
                let _ = found(&site, path);
            }
        }
        blob[at / 8] ^= 1 << (at % 8);
    }
}

#[test]
fn errors_say_which_entry_is_to_blame() {
    let changed = |at: usize, to: &[u8]| {
        let mut blob = blob();
        blob[at..at + to.len()].copy_from_slice(to);
        Site::open(&blob).map(|_| ()).unwrap_err()
    };
    let (variants, redirects) = (40 + 9 * 32, 40 + 9 * (32 + 48));
    assert_eq!(changed(0, b"x"), Error::Magic);
    assert_eq!(changed(8, &[9]), Error::Version(9));
    assert_eq!(changed(12, &[0xff; 4]), Error::Length);
    assert_eq!(changed(24, &[0xff; 8]), Error::Length);
    assert_eq!(changed(40 + 32, &[0xff; 8]), Error::File(1));
    assert_eq!(changed(40 + 2 * 32 + 28, &[0]), Error::File(2));
    assert_eq!(changed(40 + 2 * 32 + 28, &[200]), Error::File(2));
    assert_eq!(changed(variants, &[3]), Error::Variant(0));
    assert_eq!(changed(variants + 48 + 8, &[0xff; 8]), Error::Variant(1));
    assert_eq!(changed(variants + 48 + 30, b"\n"), Error::Variant(1));
    assert_eq!(changed(redirects + 16, &[200]), Error::Redirect(0));
    assert_eq!(changed(redirects + 3 * 24 + 20, &[1]), Error::Redirect(3));
}
