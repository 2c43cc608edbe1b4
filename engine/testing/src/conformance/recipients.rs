//! The conformance suite for implementations of the `Recipients` port, which stores addresses.

use pricedrop_model::UserId;
use pricedrop_model::dispatch::{Recipient, Recipients};

fn recipient(user: &str, channel: &str, address: &str) -> Recipient {
    Recipient {
        user_id: UserId::new(user).expect("a short name"),
        channel: channel.into(),
        address: address.into(),
        locale: None,
        attributes: Vec::new(),
    }
}

/// Answers have the order of the users, unknown users included.
pub async fn addresses_come_back_by_user_in_order<R: Recipients>(recipients: R) {
    let all = [
        recipient("a", "mail", "a@example.org"),
        recipient("a", "push", "token"),
        recipient("ab", "mail", "ab@example.org"),
        recipient("b", "", ""),
    ];
    recipients.put(all.iter().rev().cloned().collect()).await.expect("put");
    let users = ["ab", "nobody", "a"].map(|user| UserId::new(user).expect("a short name"));
    let found = recipients.of(&users).await.expect("found");
    assert_eq!(found, [vec![all[2].clone()], vec![], all[..2].to_vec()]);
    let mut listed: Vec<Recipient> = Vec::new();
    loop {
        let page = recipients.list(listed.last(), 3).await.expect("a page");
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, all);
}

/// User, channel and address are the key of a row.
pub async fn an_address_is_replaced_and_deleted<R: Recipients>(recipients: R) {
    let first = recipient("a", "mail", "a@example.org");
    let german = Recipient { locale: Some("de".into()), ..first.clone() };
    recipients.put(vec![first.clone()]).await.expect("put");
    recipients.put(vec![german.clone()]).await.expect("put");
    let user = [first.user_id];
    assert_eq!(recipients.of(&user).await.expect("found"), [vec![german]]);
    assert!(recipients.delete(&user[0], "mail", "a@example.org").await.expect("deleted"));
    assert!(!recipients.delete(&user[0], "mail", "a@example.org").await.expect("answered"));
    assert_eq!(recipients.of(&user).await.expect("found"), [vec![]]);
}
