// A WebSocket server on port 80 that counts: every message that comes on a connection is sent back behind its
// number on that connection. Over plain HTTP it says how many messages there were in all.
const { createServer } = require('node:http');
const { WebSocketServer } = require('/usr/local/lib/node_modules/ws');

let messages = 0;
const server = createServer((_request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(`${JSON.stringify({ messages })}\n`);
});
const sockets = new WebSocketServer({ server, maxPayload: 65_536, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  let number = 0;
  socket.on('message', (data, isBinary) => {
    messages += 1;
    number += 1;
    if (isBinary) socket.close(1003, 'text only');
    else socket.send(`${number} ${data}`);
  });
  socket.on('error', () => socket.terminate());
});
server.listen(80);
