// A WebSocket server on port 80 that counts: every message that comes on a connection is sent back behind its
// number on that connection. Over plain HTTP it says that it is there.
const { createServer } = require('node:http');
const { WebSocketServer } = require('/usr/local/lib/node_modules/ws');

const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end('numbers\n');
});
const sockets = new WebSocketServer({ server, maxPayload: 65_536, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  let number = 0;
  socket.on('message', (data, isBinary) => {
    number += 1;
    if (isBinary) socket.close(1003, 'text only');
    else socket.send(`${number} ${data}`);
  });
  socket.on('error', () => socket.terminate());
});
server.listen(80);
