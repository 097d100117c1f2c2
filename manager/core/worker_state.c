/* in the making */ typedef int hb_placeholder_worker_state;
