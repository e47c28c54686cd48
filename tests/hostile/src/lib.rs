//! What hostile input of every kind must not do, each kind as a function of bytes.
//!
//! `tests/fuzz` looks for bytes that break one; those it has kept are in its corpora, which the tests of this crate go
//! through wherever they run.
#![forbid(unsafe_code)]

mod address_words;
mod block_backend;
mod cloud_disks;
mod deploy_file;
mod deploy_tree;
mod disk_files;
mod disk_tables;
mod dns_query;
mod dns_zone;
mod dt_parse;
mod dt_print;
mod http_chunks;
mod http_requests;
mod http_responses;
mod http_stream;
mod http_urls;
mod image;
mod net_backend;
mod resolve_answers;
mod ring_front;
mod script;
mod site_blob;
mod site_rules;
mod stack_addresses;
mod stack_frames;
mod time_answers;
mod tls;
mod tls_pem_der;
mod tls_to_client;
mod tls_to_server;
mod vchan_peer;
mod vchan_static;
mod xenbus_nodes;
mod xenstore_replies;

pub use address_words::address_words;
pub use block_backend::block_backend;
pub use cloud_disks::cloud_disks;
pub use deploy_file::deploy_file;
pub use deploy_tree::deploy_tree;
pub use disk_files::disk_files;
pub use disk_tables::disk_tables;
pub use dns_query::dns_query;
pub use dns_zone::dns_zone;
pub use dt_parse::dt_parse;
pub use dt_print::dt_print;
pub use http_chunks::http_chunks;
pub use http_requests::http_requests;
pub use http_responses::http_responses;
pub use http_urls::http_urls;
pub use net_backend::net_backend;
pub use resolve_answers::resolve_answers;
pub use ring_front::ring_front;
pub use site_blob::site_blob;
pub use site_rules::site_rules;
pub use stack_addresses::stack_addresses;
pub use stack_frames::stack_frames;
pub use time_answers::time_answers;
pub use tls_pem_der::tls_pem_der;
pub use tls_to_client::tls_to_client;
pub use tls_to_server::tls_to_server;
pub use vchan_peer::vchan_peer;
pub use vchan_static::vchan_static;
pub use xenbus_nodes::xenbus_nodes;
pub use xenstore_replies::xenstore_replies;
