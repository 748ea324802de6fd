//! Prints what points docker at a client's directory, for every shell: `environment [DIR [HOST]]`.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use dockseal_docker::env::{self, Shell, Variables};
use dockseal_examples::Failure;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    // A blank, a quote, a dollar and a bang: what four shells would each read in their own way.
    let dir = arguments.next().unwrap_or_else(|| "/home/ada/Docker's $ecrets!".to_owned());
    let host = env::host_url(&arguments.next().unwrap_or_else(|| "build.example.com".to_owned()))?;
    let variables = Variables { host: Some(&host), cert_path: dir.as_bytes() };
    for shell in Shell::ALL {
        println!("# {shell}");
        match env::set(shell, &variables, &["dockseal", "env", &dir]) {
            Ok(text) => println!("{}", String::from_utf8_lossy(&text)),
            Err(error) => println!("{error}\n"),
        }
    }
    Ok(())
}
