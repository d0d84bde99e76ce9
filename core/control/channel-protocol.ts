/** The name of the message protocol between shells and the control plane: WebSocket, socket and IPC. */
export const channelProtocol = 'move-console.v1';
