//! What kills a naive decoder: each of these gets a clear error and a closed connection, and the server lives on.

use std::time::Duration;

use cfgserver::server::ServerOptions;

use super::World;

async fn refused(input: impl AsRef<[u8]>, error: &str) {
    let world = World::start();
    let mut client = world.connect().await;
    client.send(input).await;
    client.expect(format!("-ERR Protocol error: {error}\r\n")).await;
    client.expect_end().await;
    world.connect_seated().await;
}

#[tokio::test]
async fn a_promise_of_many_arguments_is_refused() {
    refused("*1000000000\r\n", "invalid multibulk length").await;
    refused("*9223372036854775808\r\n", "invalid multibulk length").await;
}

#[tokio::test]
async fn a_promise_of_a_large_argument_is_refused() {
    refused("*1\r\n$1073741824\r\n", "invalid bulk length").await;
    refused("*1\r\n$9223372036854775807\r\n", "invalid bulk length").await;
}

#[tokio::test]
async fn a_refused_argument_that_comes_all_the_same_does_not_hide_the_error() {
    let payload = "x".repeat(4 << 20);
    let world = World::start();
    let mut client = world.connect().await;
    client.send("*1\r\n$1073741824\r\n").await;
    // The server reads on for a moment so that the error is not lost to a reset.
    client.send(&payload[..64 << 10]).await;
    client.expect("-ERR Protocol error: invalid bulk length\r\n").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_negative_argument_is_refused() {
    refused("*1\r\n$-5\r\n", "invalid bulk length").await;
    refused("*1\r\n$-1\r\n", "invalid bulk length").await;
}

#[tokio::test]
async fn nested_arrays_are_refused_at_the_first() {
    refused("*1\r\n".repeat(100_000), "expected '$', got '*'").await;
}

#[tokio::test]
async fn types_of_resp3_are_no_requests() {
    refused("*1\r\n%1000000000\r\n", "expected '$', got '%'").await;
    refused("*1\r\n>1000000000\r\n", "expected '$', got '>'").await;
    refused("*1\r\n$?\r\n", "invalid bulk length").await;
}

#[tokio::test]
async fn a_bulk_must_end_where_it_says() {
    refused("*1\r\n$4\r\nPINGxx", "expected CRLF behind the bulk").await;
}

#[tokio::test]
async fn numbers_have_one_spelling() {
    refused("*1\r\n$+4\r\nPING\r\n", "invalid bulk length").await;
    refused("*0001\r\n$4\r\nPING\r\n", "invalid multibulk length").await;
}

#[tokio::test]
async fn endless_lines_are_refused() {
    refused("x".repeat(70_000), "too big inline request").await;
    refused("*".to_owned() + &"1".repeat(70_000), "too big mbulk count string").await;
    refused("*1\r\n$".to_owned() + &"1".repeat(70_000), "too big bulk count string").await;
}

#[tokio::test]
async fn open_quotes_are_refused() {
    refused("ping \"abc\r\n", "unbalanced quotes in request").await;
}

#[tokio::test]
async fn many_large_arguments_are_refused_together() {
    let argument = format!("${}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    refused("*100\r\n".to_owned() + &argument.repeat(4), "too big request").await;
}

#[tokio::test]
async fn empty_requests_and_inline_commands_are_fine() {
    let world = World::start();
    let mut client = world.connect().await;
    client
        .ask("*0\r\n*-1\r\n\r\n\nPING\nping\r\n", "+PONG\r\n+PONG\r\n")
        .await;
    client.ask("ping \"a\\x20b\"\n", "$3\r\na b\r\n").await;
}

#[tokio::test]
async fn a_line_end_in_a_request_forges_no_reply() {
    let world = World::start();
    let mut client = world.connect().await;
    client.send("*1\r\n$9\r\nNO\r\n+OK\r\n\r\n").await;
    let error = client.line().await;
    assert!(error.starts_with("-ERR unknown command"), "{error}");
    client.ask("PING\r\n", "+PONG\r\n").await;
}

/// Tens of thousands of arguments in small reads: work that grows with their square would run into the deadline.
#[tokio::test]
async fn a_large_request_is_scanned_once() {
    let world = World::start();
    let mut client = world.connect().await;
    let request = "*60000\r\n$4\r\nPING\r\n".to_owned() + &"$1\r\nx\r\n".repeat(59_999);
    for piece in request.as_bytes().chunks(16 << 10) {
        client.send(piece).await;
    }
    let error = client.line().await;
    assert!(error.starts_with("-ERR wrong number of arguments"), "{error}");
}

#[tokio::test]
async fn a_request_that_stays_incomplete_is_told_so() {
    let world = World::with(ServerOptions {
        half_frame_ms: 200,
        ..ServerOptions::default()
    });
    let mut idle = world.connect_seated().await;
    for half in ["*1\r\n$4\r\nPI", "PIN", "*", "*2\r\n$4\r\nPING\r\n"] {
        let mut client = world.connect().await;
        client.ask("PING\r\n", "+PONG\r\n").await;
        client.send(half).await;
        client
            .expect("-ERR Protocol error: request not complete after 200 ms\r\n")
            .await;
        client.expect_end().await;
    }
    idle.ask("PING\r\n", "+PONG\r\n").await;
}

#[tokio::test]
async fn a_request_that_is_completed_in_time_is_answered() {
    let world = World::start();
    let mut client = world.connect().await;
    for piece in ["*", "2\r", "\n$4\r\nPI", "NG\r\n$1\r", "\nx\r"] {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.ask("\n", "$1\r\nx\r\n").await;
}

#[tokio::test]
async fn requests_before_the_bad_one_are_answered() {
    let world = World::start();
    let mut client = world.connect().await;
    client.send("PING\r\nPING x\r\n*x\r\nPING\r\n").await;
    client
        .expect("+PONG\r\n$1\r\nx\r\n-ERR Protocol error: invalid multibulk length\r\n")
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_browser_is_not_listened_to() {
    let world = World::start();
    let mut client = world.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n").await;
    client.expect_gone().await;
}
