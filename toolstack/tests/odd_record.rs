//! A row that verifies and yet says what no version of this program wrote: it is told, and nothing panics.

use serde_json::json;
use steadfast::{Host, Kind, Options, Repair, Replace, Request};
use steadfast_store::{Commit, Request as Asked, SectionError, Store, StoreError, StoreOptions};

#[tokio::test]
async fn a_document_that_is_none_is_an_error_of_show_and_export_and_a_finding_of_the_check() {
    let folders = tempfile::tempdir_in("/tmp").unwrap();
    let (state, run) = (folders.path().join("s"), folders.path().join("r"));
    let host = Host::open(Options::new(&state, &run)).await.unwrap();
    let document = json!({"name": "odd", "accel": "tcg"});
    host.define(document, Replace::Refuse, &Request::default()).await.unwrap();
    let store = Store::open(StoreOptions::new(&state, &run)).unwrap();
    let named = store.snapshot(|snapshot| snapshot.named("odd"));
    let row = named.map_err(|error: StoreError| error.to_string()).unwrap().unwrap();
    for text in ["[]", "null", "7", "{\"name\":7}"] {
        let odd = steadfast_store::DomainRow { document: text.to_owned(), ..row.clone() };
        store
            .section_blocking(Asked::new(row.uuid, Commit::Durable), move |section| {
                section.put_domain(&odd)
            })
            .map_err(SectionError::into_store)
            .unwrap();
        if !text.starts_with('{') {
            assert_eq!(host.show("odd").await.unwrap_err().kind, Kind::Internal, "{text}");
            assert_eq!(host.export("odd").await.unwrap_err().kind, Kind::Internal, "{text}");
        }
        let report = host.check(&[], Repair::No, &Request::default()).await.unwrap();
        assert!(!report.clean, "{text}: {report:?}");
    }
}
