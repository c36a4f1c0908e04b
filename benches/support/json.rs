//! Values for benchmarks.

/// JSON of about a kilobyte that compresses like JSON does, not like a constant.
pub fn value(n: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut lines = String::new();
    for i in 0..6 {
        let (sku, price, quantity) = (draw() % 100_000, draw() % 9_999, draw() % 9 + 1);
        let comma = if i == 0 { "" } else { "," };
        lines += &format!(
            r#"{comma}{{"sku":"SKU-{sku:06}","description":"article number {i}","price":{}.{:02},"quantity":{quantity},"gift":false}}"#,
            price / 100,
            price % 100
        );
    }
    format!(
        r#"{{"id":"{:016x}","email":"user{}@example.com","name":"Customer {}","card":{{"number":"4{:015}","expires":"12/29"}},"address":{{"street":"{} Long Street","city":"Springfield","country":"US"}},"created":{},"lines":[{lines}],"notes":null}}"#,
        draw(),
        draw() % 1_000_000,
        draw() % 10_000,
        draw() % 1_000_000_000_000_000,
        draw() % 1000,
        draw() % 2_000_000_000,
    )
}
