//! Through the proxy that the environment names, as docker: in two network namespaces, the daemon beyond the proxy and
//! out of the client's reach, since nobody goes through a proxy to loopback.

use std::fs;
use std::net::IpAddr;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Program, Ran, Sandbox, require, require_root, tool};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The client's side.
const CLIENT: &str = "10.99.1.2";
/// Where the proxy listens.
const PROXY: &str = "10.99.1.1";
/// Where the daemon listens: no route leads there but through the proxy.
const DAEMON: &str = "10.99.2.1";

/// Two namespaces and what runs in them; everything ends with it.
struct Net {
    near: String,
    far: String,
    running: Vec<Child>,
    sandbox: Sandbox,
}

impl Net {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        // Names of namespaces and links are the machine's.
        let unique = sandbox.root().file_name().unwrap().to_string_lossy().replace(|c: char| !c.is_alphanumeric(), "");
        let unique = format!("{}{}", std::process::id(), unique.chars().rev().take(4).collect::<String>());
        let net = Self { near: format!("dsn{unique}"), far: format!("dsf{unique}"), running: Vec::new(), sandbox };
        let (near, far) = (&net.near, &net.far);
        for line in [
            format!("netns add {near}"),
            format!("netns add {far}"),
            format!("-n {near} link add near type veth peer name far netns {far}"),
            format!("-n {near} addr add {CLIENT}/24 dev near"),
            format!("-n {far} addr add {PROXY}/24 dev far"),
            format!("-n {far} addr add {DAEMON}/32 dev lo"),
            format!("-n {near} link set lo up"),
            format!("-n {near} link set near up"),
            format!("-n {far} link set lo up"),
            format!("-n {far} link set far up"),
        ] {
            let _ = net.sandbox.program("ip").args(line.split(' ')).run().success();
        }
        net
    }

    /// A program in a namespace.
    fn within(&self, namespace: &str, program: impl AsRef<std::ffi::OsStr>) -> Program {
        // `ip netns exec` would mount a /sys without the control groups that dockerd wants.
        self.sandbox.program("nsenter").arg(format!("--net=/run/netns/{namespace}")).arg(program.as_ref())
    }

    fn start(&mut self, program: Program, address: &str, port: u16) {
        self.running.push(program.start_quietly());
        let address: IpAddr = address.parse().unwrap();
        let started = Instant::now();
        // Who listens, as the kernel has it.
        loop {
            let listening = self.within(&self.far, "ss").args(["-ltnH"]).run().success().stdout;
            if listening.contains(&format!("{address}:{port} ")) {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "nothing listens on {address}:{port}:\n{listening}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn proxy(&mut self, port: u16, more: &str) {
        let log = self.sandbox.root().join(format!("proxy{port}.log"));
        let text =
            format!("Port {port}\nListen {PROXY}\nTimeout 60\nMaxClients 50\nLogFile \"{}\"\n{more}", log.display());
        let config = self.sandbox.write(format!("proxy{port}"), text);
        let far = self.far.clone();
        let program = self.within(&far, "tinyproxy").args(["-d", "-c"]).arg(config);
        self.start(program, PROXY, port);
    }

    fn dockerd(&mut self, port: u16, tls: &[String]) {
        let root = self.sandbox.root().join(format!("d{port}"));
        fs::create_dir(&root).unwrap();
        let config = serde_json::json!({ "deprecated-key-path": root.join("trust.json") });
        fs::write(root.join("daemon.json"), config.to_string()).unwrap();
        let far = self.far.clone();
        let program = self
            .within(&far, tool("dockerd").unwrap())
            .env("DOCKER_CONFIG", root.join(".docker"))
            .arg("--config-file")
            .arg(root.join("daemon.json"))
            .args(tls)
            .arg(format!("--host=tcp://{DAEMON}:{port}"))
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .arg("--data-root")
            .arg(root.join("d"))
            .arg("--exec-root")
            .arg(root.join("e"))
            .arg("--pidfile")
            .arg(root.join("pid"));
        self.start(program, DAEMON, port);
        // It listens before it serves.
        let started = Instant::now();
        while self.docker(&far, port, !tls.contains(&"--tls=false".to_owned())).run().code != Some(0) {
            assert!(started.elapsed() < Duration::from_secs(60), "dockerd does not come up");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn docker(&self, namespace: &str, port: u16, tls: bool) -> Program {
        let docker = self.within(namespace, tool("docker").unwrap()).arg("-H").arg(format!("tcp://{DAEMON}:{port}"));
        let docker = docker.arg("version");
        if tls {
            docker.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", self.sandbox.path("client"))
        } else {
            docker
        }
    }

    /// docker and the probe in the client's namespace with these variables: whether docker gets through, and the report.
    fn both(&self, port: u16, variables: &[(&str, &str)], tls: bool) -> (Ran, Ran, Value) {
        let docker = with(self.docker(&self.near, port, tls), variables).limit(Duration::from_secs(60)).run();
        let probe = self.probe(port, variables);
        let json = serde_json::from_str(&probe.stdout).unwrap_or_default();
        (docker, probe, json)
    }

    fn probe(&self, port: u16, variables: &[(&str, &str)]) -> Ran {
        let probe = self.within(&self.near, dockseal_tests::dockseal_binary());
        let url = format!("tcp://{DAEMON}:{port}");
        let probe = probe.args(["probe", &url, "--client", "client", "--timeout", "9s", "--format", "json"]);
        with(probe, variables).run()
    }
}

fn with(program: Program, variables: &[(&str, &str)]) -> Program {
    variables.iter().fold(program, |program, (name, value)| program.env(name, value))
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in &self.running {
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        for child in &mut self.running {
            let _ = child.wait();
        }
        for namespace in [&self.near, &self.far] {
            let _ = self.sandbox.program("ip").args(["netns", "del", namespace]).run();
        }
    }
}

/// A daemon's and a client's certificate for the address beyond the proxy, by openssl.
fn mint(sandbox: &Sandbox) -> Bundle {
    let openssl = |line: String| sandbox.openssl(line.split_whitespace());
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(format!("req -x509 {key} -keyout cak -out ca.pem -days 30 -subj /CN=beyond"));
    sandbox.write("ext", format!("subjectAltName=IP:{DAEMON}\n"));
    for dir in ["daemon", "client"] {
        fs::create_dir(sandbox.path(dir)).unwrap();
        openssl(format!("req {key} -keyout {dir}/key.pem -out csr -subj /CN={dir}"));
        openssl(format!(
            "x509 -req -days 30 -in csr -CA ca.pem -CAkey cak -CAcreateserial -out {dir}/cert.pem -extfile ext"
        ));
        fs::copy(sandbox.path("ca.pem"), sandbox.path(format!("{dir}/ca.pem"))).unwrap();
    }
    Bundle(sandbox.path("daemon"))
}

/// Variables, whether docker gets through, and through which proxy.
type Case<'c> = (&'c [(&'c str, &'c str)], bool, Option<&'c str>);

#[test]
fn the_proxy_that_docker_takes() {
    require!("dockerd", "docker", "openssl", "tinyproxy", "ip", "nsenter", "ss");
    require_root!();
    let mut net = Net::new();
    let daemon = mint(&net.sandbox);
    let mut flags = vec!["--tlsverify".to_owned()];
    flags.extend(dockseal_tests::Dockerd::file_flags(&daemon));
    net.dockerd(2376, &flags);
    net.proxy(8888, "");
    net.proxy(8889, "BasicAuth ada sesame\n");
    net.proxy(8890, "ConnectPort 443\n");
    let works = "http://10.99.1.1:8888";
    let open = "http://ada:sesame@10.99.1.1:8889";

    // Whether docker gets through is what the probe says, and through which proxy.
    let cases: [Case<'_>; 19] = [
        (&[], false, None),
        (&[("HTTPS_PROXY", works)], true, Some(works)),
        (&[("https_proxy", "10.99.1.1:8888")], true, Some(works)),
        (&[("HTTPS_PROXY", works), ("https_proxy", "http://10.99.1.1:1")], true, Some(works)),
        (&[("HTTP_PROXY", works)], false, None),
        (&[("ALL_PROXY", works)], false, None),
        (&[("HTTPS_PROXY", open)], true, Some("http://10.99.1.1:8889")),
        (&[("HTTPS_PROXY", "http://10.99.1.1:8889")], false, None),
        (&[("HTTPS_PROXY", "http://ada:wrong@10.99.1.1:8889")], false, None),
        (&[("HTTPS_PROXY", "http://10.99.1.1:8890")], false, None),
        (&[("HTTPS_PROXY", "http://10.99.1.1:1")], false, None),
        (&[("HTTPS_PROXY", works), ("NO_PROXY", "10.99.2.1")], false, None),
        (&[("HTTPS_PROXY", works), ("no_proxy", "10.99.2.0/24")], false, None),
        (&[("HTTPS_PROXY", works), ("NO_PROXY", "*")], false, None),
        (&[("HTTPS_PROXY", works), ("NO_PROXY", "10.99.2.1:2376")], false, None),
        (&[("HTTPS_PROXY", works), ("NO_PROXY", "10.99.2.1:2375")], true, Some(works)),
        (&[("HTTPS_PROXY", works), ("NO_PROXY", "10.99.2.,.99.2.1,99.2.1,10.99.1.0/24")], true, Some(works)),
        (&[("HTTPS_PROXY", "http://[10.99.1.1:8888")], false, None),
        (&[("HTTPS_PROXY", "http://10.99.1.1:8888/some/path?x")], true, Some(works)),
    ];
    for (variables, through, proxy) in cases {
        let (docker, probe, json) = net.both(2376, variables, true);
        assert_eq!(docker.code == Some(0), through, "{variables:?}\n{docker}");
        assert_eq!(probe.code, Some(if through { 0 } else { 2 }), "{variables:?}\n{docker}\n{probe}");
        assert!(!probe.holds("sesame"), "{probe}");
        if let Some(proxy) = proxy {
            assert_eq!(json["proxies"]["tls"], proxy, "{probe}");
            assert_eq!(json["address"], proxy.trim_start_matches("http://"), "{probe}");
            assert_eq!(json["docker"]["os"], "linux", "{probe}");
            assert_eq!(json["key_proof"], "verified", "{probe}");
        } else {
            assert!(probe.stderr.contains("\"cause\":") && probe.stderr.contains("\"hint\":"), "{probe}");
        }
    }
    // The proxy itself is the witness.
    let log = fs::read_to_string(net.sandbox.root().join("proxy8888.log")).unwrap();
    assert!(log.contains("CONNECT 10.99.2.1:2376"), "{log}");

    let probe = net.probe(2376, &[("HTTPS_PROXY", "http://10.99.1.1:8889")]);
    assert!(probe.stderr.contains("the proxy answers 407") && probe.stderr.contains("USER:PASSWORD"), "{probe}");
    let probe = net.probe(2376, &[("HTTPS_PROXY", "http://10.99.1.1:8890")]);
    assert!(probe.stderr.contains("the proxy answers 403") && probe.stderr.contains("allow CONNECT"), "{probe}");
    let (docker, probe, _) = net.both(2377, &[("HTTPS_PROXY", works)], true);
    assert!(docker.code == Some(1) && probe.stderr.contains("the proxy answers 5"), "{docker}\n{probe}");
    let (docker, probe, _) = net.both(2376, &[("HTTPS_PROXY", "http://10.99.1.1:1")], true);
    assert!(docker.code == Some(1) && probe.stderr.contains("which HTTPS_PROXY names"), "{docker}\n{probe}");
    // Kinds that docker speaks to and the probe does not: it says so.
    for kind in ["https", "socks5"] {
        let probe = net.probe(2376, &[("HTTPS_PROXY", &format!("{kind}://10.99.1.1:8888"))]);
        assert!(probe.code == Some(2) && probe.stderr.contains("of a kind that docker speaks to"), "{probe}");
    }
    // Past the proxy there is no way.
    let (docker, probe, _) = net.both(2376, &[("HTTPS_PROXY", works), ("NO_PROXY", DAEMON)], true);
    assert!(docker.code == Some(1) && probe.stderr.contains("unreachable"), "{docker}\n{probe}");
}

#[test]
fn plain_http_through_the_proxy() {
    require!("dockerd", "docker", "openssl", "tinyproxy", "ip", "nsenter", "ss");
    require_root!();
    let mut net = Net::new();
    let _ = mint(&net.sandbox);
    net.dockerd(2375, &["--tls=false".to_owned()]);
    net.proxy(8888, "");
    net.proxy(8889, "BasicAuth ada sesame\n");
    for proxy in ["http://10.99.1.1:8888", "http://ada:sesame@10.99.1.1:8889"] {
        let (docker, probe, json) = net.both(2375, &[("HTTP_PROXY", proxy), ("HTTPS_PROXY", proxy)], false);
        assert_eq!(docker.code, Some(0), "{docker}");
        assert_eq!((probe.code, &json["speaks"]), (Some(1), &Value::from("http")), "{probe}");
        assert_eq!(json["modes"][0]["answer"], "connects", "{probe}");
    }
    // Only one of the two ways leads there.
    let (docker, probe, json) = net.both(2375, &[("HTTPS_PROXY", "http://10.99.1.1:8888")], false);
    assert_eq!(docker.code, Some(1), "{docker}");
    assert_ne!(json["modes"][0]["answer"], "connects", "{probe}");
}
