// Does with TLS what docker and dockerd do, with the Go that it is built with: record.py says how.
//
// Each role answers lines of JSON on stdin with lines of JSON on stdout. Sources: docker/cli v29.7.2
// cli/context/docker/load.go (tlsConfig) and cli/context/tlsdata.go (TLSDataFromFiles), docker/go-connections v0.8.0
// tlsconfig/config.go (Client, Server), moby v29.7.2 daemon/command/daemon.go (loadListeners).
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

type question struct {
	Dir, Mode, Host string
	Port            int
	Log             bool
}

type answer struct {
	// Gate is empty where the role has no objection.
	Gate, Text string
	Port       int
}

func main() {
	role := map[string]func(question) answer{"docker": docker, "dockerd": dockerd}[os.Args[1]]
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(role(asked)); err != nil {
			panic(err)
		}
	}
}

func pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certificates := x509.NewCertPool()
	if !certificates.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate could be appended from " + file)
	}
	return certificates, nil
}

// ---- dockerd ----

var served = make(chan error, 1)
var listener net.Listener

func dockerd(asked question) answer {
	if asked.Log {
		select {
		case err := <-served:
			if err != nil {
				return answer{Text: err.Error()}
			}
		case <-time.After(10 * time.Second):
			return answer{Text: "nothing came"}
		}
		return answer{}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert}
	if asked.Mode != "none" {
		var err error
		file := func(name string) string { return filepath.Join(asked.Dir, name) }
		pair, err := tls.LoadX509KeyPair(file("cert.pem"), file("key.pem"))
		if err != nil {
			return answer{Gate: "daemon-start", Text: err.Error()}
		}
		config.Certificates = []tls.Certificate{pair}
		if asked.Mode == "noverify" {
			config.ClientAuth = tls.NoClientCert
		} else if config.ClientCAs, err = pool(file("ca.pem")); err != nil {
			return answer{Gate: "daemon-start", Text: err.Error()}
		}
	}
	if listener != nil {
		_ = listener.Close()
	}
	opened, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	listener = opened
	go func() {
		for {
			conn, err := opened.Accept()
			if err != nil {
				return
			}
			served <- serve(conn, config, asked.Mode == "none")
		}
	}()
	return answer{Port: opened.Addr().(*net.TCPAddr).Port}
}

func serve(conn net.Conn, config *tls.Config, plain bool) error {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if !plain {
		session := tls.Server(conn, config)
		if err := session.Handshake(); err != nil {
			var other tls.RecordHeaderError
			if errors.As(err, &other) && other.Conn != nil {
				_, _ = io.WriteString(other.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
			}
			return err
		}
		conn = session
	}
	asked, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		if plain {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
		}
		return err
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(asked.Method), asked.Method)
	return err
}

// ---- docker ----

func docker(asked question) answer {
	config, err := load(asked)
	if err != nil {
		return answer{Gate: "client-config", Text: err.Error()}
	}
	transport := &http.Transport{TLSClientConfig: config, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(asked.Port)))
	}}
	defer transport.CloseIdleConnections()
	scheme := "https"
	if config == nil {
		scheme = "http"
	}
	host := url.URL{Scheme: scheme, Host: net.JoinHostPort(asked.Host, strconv.Itoa(asked.Port)), Path: "/_ping"}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	reply, err := client.Do(&http.Request{Method: "GET", URL: &host, Host: "docker"})
	if err != nil {
		return answer{Gate: "?", Text: err.Error()}
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != 200 {
		return answer{Gate: "?", Text: fmt.Sprint(err, " ", string(body))}
	}
	return answer{}
}

// load takes the files as the flags or variables of the mode name them; nil stands for no TLS.
func load(asked question) (*tls.Config, error) {
	if asked.Mode == "none" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	verifies := asked.Mode == "verify" || asked.Mode == "verify+cert" || asked.Mode == "env-verify"
	config.InsecureSkipVerify = !verifies
	file := func(name string) string { return filepath.Join(asked.Dir, name) }
	roots, err := pool(file("ca.pem"))
	if err != nil {
		return nil, err
	}
	config.RootCAs = roots
	if asked.Mode == "tls" || asked.Mode == "verify" {
		return config, nil
	}
	byDefault := asked.Mode == "env-tls" || asked.Mode == "env-verify"
	read := func(name string) ([]byte, error) {
		text, err := os.ReadFile(file(name))
		if byDefault && os.IsNotExist(err) {
			return nil, nil
		}
		return text, err
	}
	certificate, err := read("cert.pem")
	if err != nil {
		return nil, err
	}
	key, err := read("key.pem")
	if err != nil {
		return nil, err
	}
	if certificate == nil || key == nil {
		return config, nil
	}
	first, _ := pem.Decode(key)
	if first == nil {
		return nil, errors.New("no valid private key found")
	}
	if x509.IsEncryptedPEMBlock(first) { //nolint:staticcheck // as docker does
		return nil, errors.New("private key is encrypted")
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
