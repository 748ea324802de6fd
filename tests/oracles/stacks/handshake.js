// Mutual handshakes between Node's tls as server and as client, on loopback.
//
// Usage: handshake.js LABEL DAEMON_DIR CLIENT_DIR STRANGER_DIR NAME...
'use strict';
const fs = require('fs');
const tls = require('tls');
const assert = require('assert');

const [label, daemon, alice, stranger, ...names] = process.argv.slice(2);
const read = (dir, name) => fs.readFileSync(`${dir}/${name}.pem`);
const pair = (dir) => (dir ? { cert: read(dir, 'cert'), key: read(dir, 'key') } : {});

function handshake(version, serving, anchors, presented, host) {
  return new Promise((resolve, reject) => {
    let fail = null;
    const server = tls.createServer({
      ca: read(serving, 'ca'), ...pair(serving), minVersion: version, maxVersion: version,
      requestCert: true, rejectUnauthorized: false,
    }, (socket) => {
      socket.on('error', () => {});
      // What rejectUnauthorized would do, but keeping the reason.
      if (!socket.authorized) { fail = { code: `${socket.authorizationError}`, message: '' }; socket.destroy(); return; }
      socket.end(`${socket.getPeerCertificate().subject.CN}\n`);
    });
    server.on('tlsClientError', (error) => { fail = fail || error; });
    server.listen(0, '127.0.0.1', () => {
      const socket = tls.connect({
        host: '127.0.0.1', port: server.address().port, ca: read(anchors, 'ca'), ...pair(presented),
        // What is checked is the name the caller means, as with a dialled one.
        servername: /^[a-z]/.test(host) ? host : '', checkServerIdentity: (_, cert) => tls.checkServerIdentity(host, cert),
      });
      let said = '';
      socket.on('data', (data) => { said += data; });
      socket.on('error', (error) => { server.close(); reject(fail || error); });
      socket.on('close', () => { server.close(); if (said) resolve(said.trim()); else reject(fail || new Error('closed')); });
    });
  });
}

async function refused(codes, ...rest) {
  let error = null;
  try { await handshake(...rest); } catch (caught) { error = caught; }
  assert(error, `accepted, but should be refused: ${codes}`);
  assert(codes.some((code) => `${error.code} ${error.message}`.includes(code)), `refused, but not for ${codes}: ${error.code} ${error.message}`);
}

async function main() {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    for (const name of names) {
      const who = await handshake(version, daemon, alice, alice, name);
      assert.strictEqual(who, 'alice');
      console.log(`${label}: ${version} ${name}: mutual handshake with ${who}`);
    }
    await refused(['UNABLE_TO_GET_ISSUER'], version, daemon, alice, null, names[0]);
    await refused(['UNABLE_TO_VERIFY', 'UNABLE_TO_GET_ISSUER', 'SELF_SIGNED'], version, daemon, alice, stranger, names[0]);
    await refused(['INVALID_PURPOSE'], version, daemon, alice, daemon, names[0]);
    await refused(['ERR_TLS_CERT_ALTNAME_INVALID'], version, daemon, alice, alice, 'other.example.com');
    await refused(['ERR_TLS_CERT_ALTNAME_INVALID'], version, daemon, alice, alice, '127.0.0.2');
    await refused(['UNABLE_TO_VERIFY', 'UNABLE_TO_GET_ISSUER', 'SELF_SIGNED'], version, daemon, stranger, alice, names[0]);
    await refused(['INVALID_PURPOSE'], version, alice, alice, alice, names[0]);
  }
  console.log('done');
}

main().catch((error) => { console.error(error); process.exit(1); });
