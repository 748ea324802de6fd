import java.io.*;
import java.net.InetAddress;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.cert.Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.*;

/**
 * Mutual handshakes between Java's JSSE as server and as client, on loopback.
 *
 * Usage: Handshake.java STRANGER_DIR NAME[,NAME] (LABEL DAEMON_DIR CLIENT_DIR)...
 */
public final class Handshake {
    static final char[] NONE = new char[0];

    static Collection<? extends Certificate> certificates(Path file) throws Exception {
        try (InputStream in = Files.newInputStream(file)) {
            return CertificateFactory.getInstance("X.509").generateCertificates(in);
        }
    }

    static PrivateKey key(Path file) throws Exception {
        String pem = Files.readString(file);
        String begin = "-----BEGIN PRIVATE KEY-----";
        String body = pem.substring(pem.indexOf(begin) + begin.length(), pem.indexOf("-----END PRIVATE KEY-----"));
        byte[] der = Base64.getMimeDecoder().decode(body);
        for (String algorithm : List.of("EC", "RSA", "EdDSA")) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
            } catch (GeneralSecurityException other) {
                // The next one, then.
            }
        }
        throw new IllegalArgumentException("no algorithm reads " + file);
    }

    static SSLContext context(Path anchors, Path pair) throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, NONE);
        int n = 0;
        for (Certificate one : certificates(anchors.resolve("ca.pem"))) trusted.setCertificateEntry("ca" + n++, one);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        KeyManager[] keys = null;
        if (pair != null) {
            KeyStore own = KeyStore.getInstance("PKCS12");
            own.load(null, NONE);
            own.setKeyEntry("own", key(pair.resolve("key.pem")), NONE, certificates(pair.resolve("cert.pem")).toArray(new Certificate[0]));
            KeyManagerFactory factory = KeyManagerFactory.getInstance("SunX509");
            factory.init(own, NONE);
            // JSSE keeps back a certificate the server did not ask for; presenting it
            // all the same is the only way to see the server refuse it.
            X509ExtendedKeyManager inner = (X509ExtendedKeyManager) factory.getKeyManagers()[0];
            keys = new KeyManager[] { new Always(inner) };
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys, trust.getTrustManagers(), null);
        return context;
    }

    static final class Always extends X509ExtendedKeyManager {
        final X509ExtendedKeyManager inner;
        Always(X509ExtendedKeyManager inner) { this.inner = inner; }
        // Asked once for each key type and taken if its algorithm fits.
        String fits(String[] types) {
            String own = inner.getPrivateKey("own").getAlgorithm();
            for (String type : types) {
                if (type.equals(own) || type.startsWith("Ed") && own.startsWith("Ed") || type.equals("RSASSA-PSS") && own.equals("RSA")) return "own";
            }
            return null;
        }
        public String chooseClientAlias(String[] types, Principal[] issuers, java.net.Socket socket) { return fits(types); }
        public String chooseServerAlias(String type, Principal[] issuers, java.net.Socket socket) { return fits(new String[] { type }); }
        public String[] getClientAliases(String type, Principal[] issuers) { return new String[] { "own" }; }
        public String[] getServerAliases(String type, Principal[] issuers) { return new String[] { "own" }; }
        public X509Certificate[] getCertificateChain(String alias) { return inner.getCertificateChain(alias); }
        public PrivateKey getPrivateKey(String alias) { return inner.getPrivateKey(alias); }
    }

    /** The client's subject as the server saw it; throws what the refusing side threw. */
    static String handshake(String version, Path serving, Path anchors, Path presented, String host) throws Exception {
        ExecutorService pool = Executors.newSingleThreadExecutor();
        SSLServerSocket listening = (SSLServerSocket) context(serving, serving).getServerSocketFactory()
            .createServerSocket(0, 1, InetAddress.getByName("127.0.0.1"));
        listening.setNeedClientAuth(true);
        listening.setEnabledProtocols(new String[] { version });
        try (listening) {
            Future<String> seen = pool.submit(() -> {
                try (SSLSocket socket = (SSLSocket) listening.accept()) {
                    socket.setSoTimeout(20000);
                    socket.startHandshake();
                    String who = ((X509Certificate) socket.getSession().getPeerCertificates()[0]).getSubjectX500Principal().getName();
                    socket.getOutputStream().write(1);
                    socket.getOutputStream().flush();
                    socket.getInputStream().read();
                    return who;
                }
            });
            Exception client = null;
            java.net.Socket raw = new java.net.Socket("127.0.0.1", listening.getLocalPort());
            raw.setSoTimeout(20000);
            try (SSLSocket socket = (SSLSocket) context(anchors, presented).getSocketFactory().createSocket(raw, host, listening.getLocalPort(), true)) {
                SSLParameters parameters = socket.getSSLParameters();
                parameters.setEndpointIdentificationAlgorithm("HTTPS");
                socket.setSSLParameters(parameters);
                socket.startHandshake();
                if (socket.getInputStream().read() != 1) throw new IOException("no byte");
                socket.getOutputStream().write(1);
                socket.getOutputStream().flush();
            } catch (Exception caught) {
                client = caught;
            }
            String who = null;
            Exception server = null;
            try {
                who = seen.get(30, TimeUnit.SECONDS);
            } catch (ExecutionException caught) {
                server = (Exception) caught.getCause();
            }
            if (client == null && server == null) return who;
            throw new IOException("client: " + client + " / server: " + server);
        } finally {
            pool.shutdownNow();
        }
    }

    static void refused(String why, String version, Path serving, Path anchors, Path presented, String host) throws Exception {
        String who;
        try {
            who = handshake(version, serving, anchors, presented, host);
        } catch (IOException error) {
            if (!error.getMessage().contains(why)) throw new AssertionError("refused, but not for " + why + ": " + error);
            return;
        }
        throw new AssertionError("accepted " + who + ", but should be refused: " + why);
    }

    public static void main(String[] args) throws Exception {
        Path stranger = Path.of(args[0]);
        String[] names = args[1].split(",");
        for (int i = 2; i < args.length; i += 3) {
            Path daemon = Path.of(args[i + 1]), alice = Path.of(args[i + 2]);
            for (String version : List.of("TLSv1.2", "TLSv1.3")) {
                for (String name : names) {
                    String who = handshake(version, daemon, alice, alice, name);
                    if (!who.contains("CN=alice")) throw new AssertionError(who);
                    System.out.println(args[i] + ": " + version + " " + name + ": mutual handshake with " + who);
                }
                refused("Empty client certificate chain", version, daemon, alice, null, names[0]);
                refused("unable to find valid certification path", version, daemon, alice, stranger, names[0]);
                refused("Extended key usage does not permit use for TLS client authentication", version, daemon, alice, daemon, names[0]);
                refused("No subject alternative DNS name matching other.example.com", version, daemon, alice, alice, "other.example.com");
                refused("No subject alternative names matching IP address 127.0.0.2", version, daemon, alice, alice, "127.0.0.2");
                refused("unable to find valid certification path", version, daemon, stranger, alice, names[0]);
                refused("Extended key usage does not permit use for TLS server authentication", version, alice, alice, alice, names[0]);
            }
        }
        System.out.println("done");
    }
}
