// Connects the library to the page: its drawer, the server's state, the player, and the number on the button that opens it.
import {connection} from './connection.js';
import {closeDrawer} from './drawer.js';
import {createLibrary} from './library.js';
import {toast} from './toasts.js';
import {transport} from './transport.js';

/** Fills the drawer of the library, and keeps it up to date. */
export function startLibrary() {
  const library = createLibrary(document.querySelector('#library-list'), {
    act: (name, fields) => connection.act(name, fields), transport, toast,
    session: () => connection.session, leave: () => closeDrawer('library'),
  });
  const count = document.querySelector('#library-count');
  const show = entries => {
    library.update(entries);
    count.textContent = entries.length ? ` ${entries.length}` : '';
  };
  connection.addEventListener('state', ({detail}) => { if (detail.library) show(detail.library); });
  if (connection.state?.library) show(connection.state.library);
}
